package logs

import (
	"slices"
	"strings"
	"time"
)

// Filter selects entries. The zero value selects all.
type Filter struct {
	Order string    // only entries that name it anywhere
	Level Level     // at least
	Since time.Time // not older
}

// Everything reports whether the filter selects all entries.
func (f Filter) Everything() bool { return f.Order == "" && f.Level == Debug && f.Since.IsZero() }

// selects reports whether an entry is selected. It parses the entry fully if necessary. Lines that
// belong to an entry are selected with it.
func (f Filter) selects(e *Entry) bool {
	if !f.Since.IsZero() && e.Time.Before(f.Since) || !f.named(*e) {
		return false
	}
	e.read()
	return e.Level >= f.Level
}

// named reports whether the entry names the order.
func (f Filter) named(e Entry) bool {
	return f.names(e.Raw) || slices.ContainsFunc(e.More, f.names)
}

// names reports whether a line names the order, ignoring case.
func (f Filter) names(text string) bool {
	return strings.Contains(text, f.Order) || strings.Contains(strings.ToLower(text), strings.ToLower(f.Order))
}

// skims reports whether a line is shown only if a line that belongs to it names the order.
func (f Filter) skims(raw string) bool { return !f.names(raw) }

// merge sorts the entries of several processes by time. The entries of each process stay in order:
// an entry that seems older than the one before it counts as equally old.
func merge(processes [][]Entry) (out []Entry) {
	next := make([]int, len(processes))
	latest := make([]time.Time, len(processes)) // of the entries taken so far
	for {
		from := -1
		var at time.Time
		for i, entries := range processes {
			if next[i] == len(entries) {
				continue
			}
			own := entries[next[i]].Time
			if own.Before(latest[i]) {
				own = latest[i]
			}
			if from < 0 || own.Before(at) {
				from, at = i, own
			}
		}
		if from < 0 {
			return out
		}
		out = append(out, processes[from][next[from]])
		latest[from] = at
		next[from]++
	}
}

// dated sets the time of entries without one to that of the following entry: a log that is read
// from some position begins in the middle of an entry.
func dated(entries []Entry) []Entry {
	for i := len(entries) - 2; i >= 0; i-- {
		if entries[i].Time.IsZero() {
			entries[i].Time = entries[i+1].Time
		}
	}
	return entries
}

// end returns the last entries with at most the given number of lines in total. It returns at least
// one entry unless that number is zero.
func end(entries []Entry, lines int) []Entry {
	if lines == 0 {
		return nil
	}
	for i := len(entries) - 1; i >= 0; i-- {
		if lines -= max(1, len(entries[i].More)+1); lines < 0 && i < len(entries)-1 {
			return entries[i+1:]
		}
	}
	return entries
}
