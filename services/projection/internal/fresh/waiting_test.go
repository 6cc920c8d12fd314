package fresh_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"eventshop.example/services/projection/internal/fresh"
)

// state is the versions and parked keys that a database has.
type state struct {
	versions map[string]int64
	parked   map[string]bool
	fails    error
}

// tables is a database.
type tables struct {
	mu sync.Mutex
	state
	count  int
	onLook func() // once, after the first look
}

// looks returns how often versions were asked for.
func (d *tables) looks() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.count
}

func (d *tables) Versions(context.Context, []string) (map[string]int64, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.count++
	found, fails := maps.Clone(d.versions), d.fails
	if d.onLook != nil {
		d.onLook()
		d.onLook = nil
	}
	return found, fails
}

func (d *tables) Parked(context.Context, []string) (map[string]bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return maps.Clone(d.parked), nil
}

func (d *tables) set(change func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change()
}

func (d *tables) waiting(most int) *fresh.Waiting {
	return fresh.New(fresh.Config{Versions: d.Versions, Parked: d.Parked, Wait: 2 * time.Second, Most: most, Registerer: prometheus.NewRegistry()})
}

// await describes what Await returned, and after how long.
func await(w *fresh.Waiting, key string, version int64) string {
	began := time.Now()
	view, err := w.Await(context.Background(), key, version)
	if err != nil {
		return fmt.Sprintf("%v after %v", err, time.Since(began))
	}
	return fmt.Sprintf("%d %q after %v", view.Version, view.Stale, time.Since(began))
}

// TestAwait reads in the time of a bubble, with a poll each 250 ms from the start. Each case says
// what happens after 100 ms and what a read of version 4 gets.
func TestAwait(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		before state
		then   func(*tables, *fresh.Waiting)
		want   string
	}{
		"there":                     {before: state{versions: map[string]int64{"k": 4}}, want: `4 "" after 0s`},
		"further":                   {before: state{versions: map[string]int64{"k": 9}}, want: `9 "" after 0s`},
		"parked":                    {before: state{versions: map[string]int64{"k": 3}, parked: map[string]bool{"k": true}}, want: `3 "parked" after 0s`},
		"parked, but there":         {before: state{versions: map[string]int64{"k": 4}, parked: map[string]bool{"k": true}}, want: `4 "" after 0s`},
		"another key is parked":     {before: state{parked: map[string]bool{"l": true}}, want: `0 "behind" after 2s`},
		"never comes":               {before: state{versions: map[string]int64{"k": 3}}, want: `3 "behind" after 2s`},
		"the database is down":      {before: state{fails: errors.New("down")}, want: `down after 0s`},
		"committed by this process": {then: func(_ *tables, w *fresh.Waiting) { w.Reached("k", 4) }, want: `4 "" after 100ms`},
		"an earlier version":        {then: func(_ *tables, w *fresh.Waiting) { w.Reached("k", 3) }, want: `0 "behind" after 2s`},
		"of another key":            {then: func(_ *tables, w *fresh.Waiting) { w.Reached("l", 4) }, want: `0 "behind" after 2s`},
		"committed by another process": {
			then: func(d *tables, _ *fresh.Waiting) { d.versions = map[string]int64{"k": 5} }, want: `5 "" after 250ms`,
		},
		"parked meanwhile": {
			then: func(d *tables, _ *fresh.Waiting) { d.parked = map[string]bool{"k": true} }, want: `0 "parked" after 250ms`,
		},
		"the database goes down": {
			then: func(d *tables, _ *fresh.Waiting) { d.fails = errors.New("down") },
			want: "ask for the versions that reads wait for: down after 250ms",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				d := &tables{state: c.before}
				w := d.waiting(0)
				ctx, stop := context.WithCancel(t.Context())
				defer stop()
				go w.Run(ctx)
				if c.then != nil {
					time.AfterFunc(100*time.Millisecond, func() { d.set(func() { c.then(d, w) }) })
				}
				if got := await(w, "k", 4); got != c.want {
					t.Errorf("got %s, want %s", got, c.want)
				}
				if n := w.Count(); n != 0 {
					t.Errorf("%d reads still wait", n)
				}
			})
		})
	}
}

// TestNoWakeUpIsLost: what is committed between the first look and the wait is found by a second
// look.
func TestNoWakeUpIsLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := &tables{}
		w := d.waiting(0) // without a poll
		d.onLook = func() {
			d.versions = map[string]int64{"k": 4}
			w.Reached("k", 4)
		}
		if got, want := await(w, "k", 4), `4 "" after 0s`; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
}

// TestTooMany: a read too many is refused at once. Those that wait share the poll's query, and one
// that need not wait is answered however many wait.
func TestTooMany(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := &tables{state: state{versions: map[string]int64{"there": 1}}}
		w := d.waiting(3)
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		go w.Run(ctx)
		var all sync.WaitGroup
		var mu sync.Mutex
		got := map[string]int{}
		for _, key := range []string{"k", "k", "l"} {
			all.Go(func() {
				s := await(w, key, 1)
				mu.Lock()
				defer mu.Unlock()
				got[s]++
			})
		}
		synctest.Wait()
		before := d.looks()
		if n := w.Count(); n != 3 {
			t.Fatalf("%d reads wait", n)
		}
		if _, err := w.Await(ctx, "m", 1); !errors.Is(err, fresh.ErrTooMany) {
			t.Errorf("the fourth: %v", err)
		}
		if s := await(w, "there", 1); s != `1 "" after 0s` {
			t.Errorf("one that need not wait: %s", s)
		}
		all.Wait()
		if diff := cmp.Diff(map[string]int{`0 "behind" after 2s`: 3}, got); diff != "" {
			t.Error(diff)
		}
		// The fourth read and the last one looked once. Each poll before the bound looked once, and each
		// read once at the bound; a poll at that moment may look too.
		if n := d.looks() - before - 2 - 7 - 3; n < 0 || n > 1 {
			t.Errorf("%d looks in two seconds", d.looks()-before)
		}
	})
}

// TestStop: at the stop all reads that wait are answered with the view that there is, and so are
// later ones. A client that leaves ends its wait.
func TestStop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := &tables{state: state{versions: map[string]int64{"k": 3}}}
		w := d.waiting(0)
		ctx, stop := context.WithCancel(t.Context())
		go w.Run(ctx)
		time.AfterFunc(100*time.Millisecond, stop)
		for _, want := range []string{`3 "stopping" after 100ms`, `3 "stopping" after 0s`} {
			if got := await(w, "k", 4); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		}
		if got, want := await(w, "k", 3), `3 "" after 0s`; got != want {
			t.Errorf("got %s, want %s", got, want)
		}

		left, leave := context.WithCancel(t.Context())
		other := d.waiting(0)
		time.AfterFunc(100*time.Millisecond, leave)
		if _, err := other.Await(left, "k", 4); !errors.Is(err, context.Canceled) || other.Count() != 0 {
			t.Errorf("a client that left: %v, %d reads wait", err, other.Count())
		}
	})
}
