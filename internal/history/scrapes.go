package history

import (
	"net"
	"slices"
	"sync"
	"time"
)

// Scrape is the last scrape of one scraper.
type Scrape struct {
	At     time.Time
	Source string // the scraper's address, without its port
	Client string // the User-Agent header; may be empty
}

// maxScrapers is the number of scrapers that are remembered.
const maxScrapers = 8

// scrapes remembers the last scrape of each scraper.
type scrapes struct {
	mu  sync.Mutex // guards all
	all []Scrape   // the latest first
}

// RecordScrape remembers a scrape from an address, which may have a port. Cost: O(1).
func (l *Log) RecordScrape(at time.Time, source, client string) {
	if host, _, err := net.SplitHostPort(source); err == nil {
		source = host
	}
	s := Scrape{at, shorten(source, maxText), shorten(client, maxText)}
	l.scrapes.mu.Lock()
	defer l.scrapes.mu.Unlock()
	others := slices.DeleteFunc(l.scrapes.all, func(o Scrape) bool { return o.Source == s.Source && o.Client == s.Client })
	l.scrapes.all = slices.Insert(others[:min(len(others), maxScrapers-1)], 0, s)
}

// Scrapes returns the last scrape of each scraper, the latest first.
func (l *Log) Scrapes() []Scrape {
	l.scrapes.mu.Lock()
	defer l.scrapes.mu.Unlock()
	return slices.Clone(l.scrapes.all)
}
