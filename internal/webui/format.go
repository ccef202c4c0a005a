package webui

import (
	"fmt"
	"hash/fnv"
	"time"
)

// moment is a point in time as the pages show it.
type moment struct {
	Never                    bool
	Relative, Exact, Machine string
}

func momentOf(t, now time.Time) moment {
	if t.IsZero() {
		return moment{Never: true}
	}
	t = t.UTC()
	return moment{
		Relative: formatAge(now.Sub(t)),
		Exact:    t.Format("2006-01-02 15:04:05 UTC"),
		Machine:  t.Format(time.RFC3339Nano),
	}
}

// formatAge writes how long ago something was, rounded down.
func formatAge(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d < 0:
		return "in the future" // clocks differ, or were set back
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

func formatBytes(n int64) string {
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

// etag identifies the content for browsers that have it already.
func etag(content []byte) string {
	h := fnv.New64a()
	h.Write(content)
	return fmt.Sprintf(`"%x"`, h.Sum(nil))
}
