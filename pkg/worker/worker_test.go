package worker_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"eventshop.example/pkg/backoff"
	"eventshop.example/pkg/telemetry/telemetrytest"
	"eventshop.example/pkg/worker"
)

// refused says when to come again.
type refused time.Duration

func (r refused) Error() string { return "refused" }

// TestPauses: when the rounds of a loop begin, in a bubble whose clock moves only while all wait.
func TestPauses(t *testing.T) {
	t.Parallel()
	fault, full := errors.New("no connection"), errors.New("more")
	for name, tt := range map[string]struct {
		rounds []error
		want   []time.Duration // between rounds
	}{
		"nothing to do":                {[]error{nil, nil, nil}, []time.Duration{time.Second, time.Second}},
		"more may be left":             {[]error{full, full, nil, nil}, []time.Duration{0, 0, time.Second}},
		"failures":                     {[]error{fault, fault, fault, fault, nil}, []time.Duration{2 * time.Second, 4 * time.Second, 8 * time.Second, 8 * time.Second}},
		"a success ends them":          {[]error{fault, fault, nil, fault, nil}, []time.Duration{2 * time.Second, 4 * time.Second, time.Second, 2 * time.Second}},
		"a full round ends them":       {[]error{fault, full, fault, nil}, []time.Duration{2 * time.Second, 0, 2 * time.Second}},
		"a wait of the error's own":    {[]error{fault, refused(time.Minute), fault, nil}, []time.Duration{2 * time.Second, time.Minute, 4 * time.Second}},
		"a wait of the error's, over":  {[]error{refused(0), nil}, []time.Duration{time.Second}},
		"a wait within a joined error": {[]error{errors.Join(fault, refused(time.Hour)), nil}, []time.Duration{2 * time.Second}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, stop := context.WithCancel(t.Context())
				defer stop()
				var began []time.Time
				var failed, recovered []int
				loop := worker.Loop{
					Every: time.Second, Failing: backoff.Policy{Base: time.Second, Max: 8 * time.Second},
					Round: func(context.Context) (bool, error) {
						began = append(began, time.Now())
						err := tt.rounds[len(began)-1]
						if len(began) == len(tt.rounds) {
							stop()
						}
						if errors.Is(err, full) {
							return true, nil
						}
						return false, err
					},
					Waits: func(err error) (time.Duration, bool) {
						r, ok := errors.AsType[refused](err)
						return time.Duration(r), ok && err.Error() == r.Error() // and not one of several
					},
					Failed:    func(_ context.Context, _ error, n int, _ time.Duration) { failed = append(failed, n) },
					Recovered: func(_ context.Context, n int) { recovered = append(recovered, n) },
				}
				if err := loop.Run(ctx); err != nil {
					t.Error(err)
				}
				var got []time.Duration
				for i := range began[1:] {
					got = append(got, began[i+1].Sub(began[i]))
				}
				if !slices.Equal(got, tt.want) {
					t.Errorf("pauses %v, want %v", got, tt.want)
				}
				if n := len(slices.DeleteFunc(slices.Clone(tt.rounds), func(err error) bool { return err == nil || errors.Is(err, full) })); len(failed) != n {
					t.Errorf("%v reported, want %d failures", failed, n)
				}
				if want := strings.HasSuffix(name, "ends them"); want != (len(recovered) > 0) {
					t.Errorf("recovered: %v", recovered)
				}
			})
		})
	}
}

// TestLoopsEndWithTheirContext, in a pause and in a round, and report no failure that follows from it.
func TestLoopsEndWithTheirContext(t *testing.T) {
	t.Parallel()
	for name, round := range map[string]func(context.Context) (bool, error){
		"in a pause": func(context.Context) (bool, error) { return false, nil },
		"in a round": func(ctx context.Context) (bool, error) { <-ctx.Done(); return false, ctx.Err() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 90*time.Minute)
				defer cancel()
				err := worker.Loop{
					Round: round, Every: time.Hour,
					Failed: func(_ context.Context, err error, _ int, _ time.Duration) { t.Errorf("reported: %v", err) },
				}.Run(ctx)
				if err != nil || ctx.Err() == nil {
					t.Errorf("%v, and the context: %v", err, ctx.Err())
				}
			})
		})
	}
}

// TestEach: a set is done at once, and one by one when that fails.
func TestEach(t *testing.T) {
	t.Parallel()
	spoiled := errors.New("spoiled")
	for name, tt := range map[string]struct {
		items, bad []string
		want       string // the calls
		failed     []string
	}{
		"nothing":     {},
		"all go":      {items: []string{"a", "b"}, want: "[a b]"},
		"some do not": {items: []string{"a", "b", "c"}, bad: []string{"b", "c"}, want: "[a b c][a][b][c]", failed: []string{"b: spoiled", "c: spoiled"}},
		"one":         {items: []string{"a"}, bad: []string{"a"}, want: "[a][a]", failed: []string{"a: spoiled"}},
	} {
		calls := ""
		err := worker.Each(t.Context(), tt.items, func(item string) string { return item }, func(_ context.Context, items ...string) error {
			calls += fmt.Sprint(items)
			if slices.ContainsFunc(items, func(item string) bool { return slices.Contains(tt.bad, item) }) {
				return spoiled
			}
			return nil
		})
		if calls != tt.want {
			t.Errorf("%s: done %s, want %s", name, calls, tt.want)
		}
		if err == nil && tt.failed != nil || err != nil && (err.Error() != strings.Join(tt.failed, "\n") || !errors.Is(err, spoiled)) {
			t.Errorf("%s: %v, want %q", name, err, tt.failed)
		}
	}
}

// TestWarningsAreAboutTheirSubjects: one line for each failure, with the subject of an item.
func TestWarningsAreAboutTheirSubjects(t *testing.T) {
	t.Parallel()
	var log telemetrytest.Log
	err := errors.Join(&worker.Error{Subject: "parcel-1", Err: errors.New("no address")}, &worker.Error{Subject: "parcel-2", Err: errors.New("too big")})
	worker.Warn(t.Context(), log.Logger("depot"), "not sent", err, 2*time.Second)
	worker.Warn(t.Context(), log.Logger("depot"), "not sent", &worker.Error{Subject: "parcel-3", Err: errors.New("lost")}, time.Second)
	for id, want := range map[string]string{"parcel-1": "parcel-1: no address", "parcel-2": "parcel-2: too big", "parcel-3": "parcel-3: lost"} {
		lines := log.About(t, id, "WARN")
		if len(lines) != 1 || lines[0]["error"] != want || lines[0]["msg"] != "not sent" {
			t.Errorf("%s: %v", id, lines)
		}
	}
}
