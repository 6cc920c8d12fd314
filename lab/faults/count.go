package faults

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"eventshop.example/local/broker"
	"eventshop.example/ops/verify"
)

// counts are totals since the shop was created; those of breakers start with their process.
type counts struct {
	retries, deadLetters int64
	opened               map[string]int // breaker openings, by process
}

func (w *world) counts(ctx context.Context) (c counts, err error) {
	if c.retries, err = broker.Count(ctx, w.admin, ".retry"); err != nil {
		return c, err
	}
	if c.deadLetters, err = broker.Count(ctx, w.admin, ".dlq"); err != nil {
		return c, err
	}
	c.opened = map[string]int{}
	for name := range w.file.Operators {
		n, err := w.sample(ctx, name, "eventshop_breaker_transitions_total", `to="open"`)
		if err != nil {
			return c, err
		}
		c.opened[name] = int(n)
	}
	return c, nil
}

// since fills in the differences between two counts.
func (f *Figures) since(before, after counts) {
	f.Retries = int(after.retries - before.retries)
	f.DeadLetters = int(after.deadLetters - before.deadLetters)
	for name, n := range after.opened {
		if old := before.opened[name]; n >= old {
			n -= old // otherwise the process was restarted
		}
		f.Opened += n
	}
}

// sample adds up the samples of a process's metric whose labels contain the text.
func (w *world) sample(ctx context.Context, process, metric, labels string) (sum float64, err error) {
	a, err := w.http.Send(ctx, http.MethodGet, w.file.URL[process]+"/metrics", "")
	if err == nil && a.Status != http.StatusOK {
		err = fmt.Errorf("status %d", a.Status)
	}
	if err != nil {
		return 0, fmt.Errorf("%s's metrics: %w", process, err)
	}
	for line := range strings.Lines(string(a.Body)) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), "} ")
		if !ok || !strings.HasPrefix(name, metric+"{") || !strings.Contains(name, labels) {
			continue
		}
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return 0, fmt.Errorf("%s's metrics: %q: %w", process, line, err)
		}
		sum += n
	}
	return sum, nil
}

// duplicates counts the topic records that repeat an event.
func duplicates(f verify.Facts) (n int) {
	type place struct {
		topic string
		id    uuid.UUID
	}
	seen := map[place]bool{}
	for _, r := range f.Records {
		if r.ID == uuid.Nil || !strings.HasSuffix(r.Topic, ".events") {
			continue
		}
		p := place{r.Topic, r.ID}
		if seen[p] {
			n++
		}
		seen[p] = true
	}
	return n
}
