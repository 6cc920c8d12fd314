package fresh

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Reason is why a view is stale.
type Reason string

const (
	Behind   Reason = "behind"   // the version did not come within the bound
	Parked   Reason = "parked"   // a record of the key has failed, and later ones wait behind it
	Stopping Reason = "stopping" // this process is stopping
)

// View describes what the read models contain of a key.
type View struct {
	Version int64  // 0: nothing
	Stale   Reason // "" when the view contains the version that was asked for
}

// ErrTooMany is the error of a read that would be one too many to wait.
var ErrTooMany = errors.New("too many reads are waiting")

// pollEvery is how often the database is asked for versions that another process may have
// committed. A client hardly notices the time, and one query per process costs little.
const pollEvery = 250 * time.Millisecond

// Defaults of [Config].
const (
	DefaultWait = 2 * time.Second
	DefaultMost = 1000
)

// Config configures Waiting.
type Config struct {
	// Versions returns the versions that the read models contain. A key without one is missing.
	Versions func(ctx context.Context, keys []string) (map[string]int64, error)
	// Parked returns the keys that are parked.
	Parked func(ctx context.Context, keys []string) (map[string]bool, error)

	Wait       time.Duration // the longest wait of one read; default DefaultWait
	Most       int           // reads that wait at the same time; default DefaultMost
	Registerer prometheus.Registerer
}

// Waiting is the reads of one process that wait. It is safe for concurrent use.
type Waiting struct {
	cfg     Config
	results *prometheus.CounterVec

	mu      sync.Mutex
	reads   map[string][]*read // by key
	n       int
	stopped bool
}

// read is one read that waits.
type read struct {
	key     string
	version int64
	done    chan result // takes one
}

// result ends a wait.
type result struct {
	view View
	err  error
}

// New returns a Waiting. Its poll needs [Waiting.Run].
func New(cfg Config) *Waiting {
	cfg.Wait, cfg.Most = cmp.Or(cfg.Wait, DefaultWait), cmp.Or(cfg.Most, DefaultMost)
	w := &Waiting{cfg: cfg, reads: map[string][]*read{}}
	w.results = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "reads_waited_total",
		Help: "Reads that waited for a version, by what they got: fresh, behind, parked, stopping, refused (too many were waiting), failed.",
	}, []string{"result"})
	waiting := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "reads_waiting",
		Help: "Reads that wait for a version.",
	}, func() float64 { return float64(w.Count()) })
	if cfg.Registerer != nil {
		cfg.Registerer.MustRegister(w.results, waiting)
	}
	return w
}

// Await waits until the read models contain the version of the key, at most for the bound. A view
// that is fresh, or that cannot become fresh by itself, is returned at once. The error is
// [ErrTooMany], that of ctx, or that of a query.
func (w *Waiting) Await(ctx context.Context, key string, version int64) (View, error) {
	view, err := w.look(ctx, key, version)
	if err != nil || view.Stale != Behind {
		return view, err
	}
	view, err = w.wait(ctx, key, version)
	switch {
	case errors.Is(err, ErrTooMany):
		w.results.WithLabelValues("refused").Inc()
	case err != nil:
		w.results.WithLabelValues("failed").Inc()
	default:
		w.results.WithLabelValues(cmp.Or(string(view.Stale), "fresh")).Inc()
	}
	return view, err
}

func (w *Waiting) wait(ctx context.Context, key string, version int64) (View, error) {
	r, err := w.join(key, version)
	if err != nil {
		return View{}, err
	}
	defer w.leave(r)
	// A commit between the first look and join woke nothing.
	view, err := w.look(ctx, key, version)
	if err != nil || view.Stale != Behind {
		return view, err
	}
	bound := time.NewTimer(w.cfg.Wait)
	defer bound.Stop()
	select {
	case got := <-r.done:
		if got.view.Stale != Stopping {
			return got.view, got.err
		}
		view, err := w.look(ctx, key, version)
		if view.Stale == Behind {
			view.Stale = Stopping
		}
		return view, err
	case <-bound.C:
		return w.look(ctx, key, version)
	case <-ctx.Done():
		return view, ctx.Err()
	}
}

// look asks the database about one key.
func (w *Waiting) look(ctx context.Context, key string, version int64) (View, error) {
	versions, err := w.cfg.Versions(ctx, []string{key})
	if err != nil {
		return View{}, err
	}
	view := View{Version: versions[key]}
	if view.Version >= version {
		return view, nil
	}
	parked, err := w.cfg.Parked(ctx, []string{key})
	if view.Stale = Behind; parked[key] {
		view.Stale = Parked
	}
	return view, err
}

func (w *Waiting) join(key string, version int64) (*read, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.n >= w.cfg.Most {
		return nil, ErrTooMany
	}
	r := &read{key: key, version: version, done: make(chan result, 1)}
	if w.stopped {
		r.done <- result{view: View{Stale: Stopping}}
	}
	w.reads[key] = append(w.reads[key], r)
	w.n++
	return r, nil
}

func (w *Waiting) leave(r *read) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.n--
	w.reads[r.key] = slices.DeleteFunc(w.reads[r.key], func(other *read) bool { return other == r })
	if len(w.reads[r.key]) == 0 {
		delete(w.reads, r.key)
	}
}

// Count returns the number of reads that wait.
func (w *Waiting) Count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.n
}

// Reached wakes the reads that wait for a version up to the given one, which has been committed.
func (w *Waiting) Reached(key string, version int64) {
	w.end(key, func(r *read) (result, bool) { return result{view: View{Version: version}}, version >= r.version })
}

// end ends the waits of a key for which what returns a result.
func (w *Waiting) end(key string, what func(*read) (result, bool)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range w.reads[key] {
		if got, ends := what(r); ends {
			select {
			case r.done <- got:
			default: // it has a result, and has not left yet
			}
		}
	}
}

// Run finds what other processes commit, until ctx is done. Then every read that waits, or begins
// to, gets the view that there is.
func (w *Waiting) Run(ctx context.Context) error {
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			w.stop()
			return nil
		case <-ticker.C:
			w.poll(ctx)
		}
	}
}

func (w *Waiting) stop() {
	w.mu.Lock()
	w.stopped = true
	w.mu.Unlock()
	for _, key := range w.keys() {
		w.end(key, func(*read) (result, bool) { return result{view: View{Stale: Stopping}}, true })
	}
}

// poll asks the database once for all reads that wait. When it cannot be asked, they fail at once:
// their clients learn it sooner.
func (w *Waiting) poll(ctx context.Context) {
	keys := w.keys()
	if len(keys) == 0 {
		return
	}
	versions, err := w.cfg.Versions(ctx, keys)
	var parked map[string]bool
	if err == nil {
		parked, err = w.cfg.Parked(ctx, keys)
	}
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		err = fmt.Errorf("ask for the versions that reads wait for: %w", err)
	}
	for _, key := range keys {
		w.end(key, func(r *read) (result, bool) {
			view := View{Version: versions[key]}
			switch {
			case err != nil, view.Version >= r.version:
				return result{view, err}, true
			case parked[key]:
				view.Stale = Parked
				return result{view: view}, true
			}
			return result{}, false
		})
	}
}

// keys returns the keys that reads wait for, sorted.
func (w *Waiting) keys() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	keys := make([]string, 0, len(w.reads))
	for key := range w.reads {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
