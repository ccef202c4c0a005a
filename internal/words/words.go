// Package words formats times and numbers for people: on the pages and in a terminal.
package words

import (
	"fmt"
	"strconv"
	"time"
)

// Age formats the time since an event, rounded down. page.js of the pages does the same while a
// page is open.
func Age(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d < 0:
		return "in the future" // clocks differ or were set back
	case d < time.Second:
		return "just now"
	case d < time.Minute:
		return fmt.Sprintf("%d s ago", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%d min ago", d/time.Minute)
	case d < 2*day:
		return fmt.Sprintf("%d h ago", d/time.Hour)
	}
	return fmt.Sprintf("%d days ago", d/day)
}

// Ahead formats the time until an event, rounded to the nearest unit: rounded
// down, a TTL would look a whole unit too short from the start. It uses the next larger
// unit from two of it on. page.js of the pages does the same while a page is open.
func Ahead(d time.Duration) string {
	nearest := func(unit time.Duration) int64 { return int64(d.Round(unit) / unit) }
	if n := nearest(time.Second); n < 1 {
		return "any moment"
	} else if n < 2*60 {
		return fmt.Sprintf("in %d s", n)
	}
	if n := nearest(time.Minute); n < 2*60 {
		return fmt.Sprintf("in %d min", n)
	}
	if n := nearest(time.Hour); n < 2*24 {
		return fmt.Sprintf("in %d h", n)
	}
	return fmt.Sprintf("in %d days", nearest(24*time.Hour))
}

// Bytes formats a size with one digit behind the point, as 1.5 KiB.
func Bytes(n int64) string {
	if n < 1<<10 {
		return fmt.Sprintf("%d B", n)
	}
	units := []string{"KiB", "MiB", "GiB", "TiB"}
	size := float64(n) / 1024
	for size >= 1024 && len(units) > 1 {
		size, units = size/1024, units[1:]
	}
	return fmt.Sprintf("%.1f %s", size, units[0])
}

// Count formats a number with separators, as 100,000.
func Count(n int) string {
	s := strconv.Itoa(n)
	for at := len(s) - 3; at > 0 && s[at-1] != '-'; at -= 3 {
		s = s[:at] + "," + s[at:]
	}
	return s
}
