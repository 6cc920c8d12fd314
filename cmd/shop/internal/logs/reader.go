package logs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

// Log is the source of one process's lines: a [File] or a [Stream].
type Log interface {
	// Next returns the lines since the last call. The first call returns the last most lines, or
	// all if most is negative.
	Next(ctx context.Context, most int) ([]string, error)
	// Rest returns the unfinished line.
	Rest() []string
	Close()
}

// Source is one process's log.
type Source struct {
	Process string
	Log     Log
	Local   *time.Location // of times without a zone; nil: time.Local
}

// Reader merges the logs of several processes.
type Reader struct {
	filter  Filter
	sources []source
}

type source struct {
	Source
	parser *parser
	shown  bool // the latest entry was selected, and so are the lines that belong to it
}

// NewReader returns a Reader. Close ends it.
func NewReader(filter Filter, sources ...Source) *Reader {
	r := &Reader{filter: filter}
	for _, s := range sources {
		if s.Local == nil {
			s.Local = time.Local
		}
		p := newParser(s.Process, s.Local)
		p.skims = filter.skims
		r.sources = append(r.sources, source{Source: s, parser: p})
	}
	return r
}

// Close releases the logs.
func (r *Reader) Close() {
	for _, s := range r.sources {
		s.Log.Close()
	}
}

// Last returns the selected entries at the end of the logs, with at most the given number of lines
// in total, and the processes that have no log. It includes an unfinished line, unless the caller
// continues with Next, which returns that line when it is finished.
func (r *Reader) Last(ctx context.Context, lines int, follow bool) (entries []Entry, without []string, err error) {
	most := -1
	if r.filter.Everything() {
		// The last lines of all logs are among the last lines of each. If no line is wanted, one is
		// read, because later lines may belong to it.
		most = max(lines, 1)
	}
	return r.read(ctx, most, lines, follow)
}

// Next returns the selected entries since the last call.
func (r *Reader) Next(ctx context.Context) ([]Entry, error) {
	entries, _, err := r.read(ctx, -1, all, true)
	return entries, err
}

func (r *Reader) read(ctx context.Context, most, lines int, follow bool) (entries []Entry, without []string, err error) {
	parsed := make([][]Entry, len(r.sources))
	failures := make([]error, len(r.sources))
	var reading sync.WaitGroup
	for i := range r.sources {
		reading.Go(func() {
			s := &r.sources[i]
			found, err := s.Log.Next(ctx, most)
			if !follow {
				found = append(found, s.Log.Rest()...)
			}
			parsed[i], failures[i] = s.selected(found, r.filter), err
		})
	}
	reading.Wait()
	for i, err := range failures {
		switch {
		case errors.Is(err, os.ErrNotExist):
			without = append(without, r.sources[i].Process)
			failures[i] = nil
		case err != nil:
			failures[i] = fmt.Errorf("log of %s: %w", r.sources[i].Process, err)
		}
	}
	return end(merge(parsed), lines), without, errors.Join(failures...)
}

// selected parses lines and drops entries that the filter does not select.
func (s *source) selected(lines []string, f Filter) []Entry {
	var out []Entry
	for _, e := range dated(s.parser.parse(lines)) {
		if !e.Continued || e.Raw == "" { // or the entry that it belongs to is unknown
			s.shown = f.selects(&e)
		}
		if s.shown {
			out = append(out, e)
		}
	}
	return out
}
