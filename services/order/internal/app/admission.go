package app

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"eventshop.example/pkg/errs"
)

// ErrOverloaded is the error of an order that is not accepted because too many are PENDING. Nothing was
// written, and the client can try again.
var ErrOverloaded = errors.New("too many orders are waiting for their confirmation")

const (
	admissionWindow  = 3 * time.Second        // older PENDING orders are stuck, or wait for an outage: they are no load
	admissionFloor   = 100                    // orders of one window that are accepted while these take less than the target time and a half
	admissionLeast   = 30                     // the same while they take longer
	admissionSample  = 100 * time.Millisecond // between two looks at the database under load, otherwise a second
	admissionStalled = 750 * time.Millisecond // without a departure: something is down
	admissionLook    = 500                    // orders per look
)

// admission bounds the orders that this process has accepted and that are PENDING, so that an accepted
// order is confirmed in time whatever is offered. It compares their number with the rate at which they
// leave PENDING (Little's law: time = number / rate). Where the saga is the bottleneck, an
// accepted order then takes about the target time.
//
// An overload is not an outage. While none of the process's orders leaves PENDING, something that the
// saga needs is down (a broker, a relay, another service), and orders are accepted and queued, up to
// the bound most. After an outage they are accepted for as long as it lasted at most, until what was
// queued is confirmed. A few orders that are stuck do not count as load.
//
// Each process bounds its own orders. Replicas that share the load reach the same time, and no count has
// to be shared. The database is asked once a second at most, and ten times a second under load.
type admission struct {
	target  time.Duration
	most    int           // PENDING orders of this process while none leaves
	keep    time.Duration // how long an order can be PENDING
	pending func(ctx context.Context, ids []uuid.UUID) ([]uuid.UUID, error)
	start   func(look func()) // runs a look beside the request

	mu       sync.Mutex
	floor    int         // between admissionLeast and admissionFloor
	placed   []placed    // accepted and not known to have left, oldest first
	looking  time.Time   // since when a look is under way; zero: none is
	looked   time.Time   // when the last look ended
	left     []departure // within the last second
	lastLeft time.Time
	recovers time.Time // until then an outage is being made up for
}

type placed struct {
	id uuid.UUID
	at time.Time
}

type departure struct {
	at     time.Time
	orders int
}

// admit returns nil when an order can be accepted, and [ErrOverloaded] when it cannot.
func (a *admission) admit(now time.Time) error {
	if a.target <= 0 {
		return nil
	}
	ids, err := a.decide(now)
	if len(ids) > 0 {
		a.start(func() { a.look(now, ids) })
	}
	return err
}

// decide is admit without the look that is due; ids are the orders to look at.
func (a *admission) decide(now time.Time) (ids []uuid.UUID, refused error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.floor == 0 {
		a.floor = admissionFloor
	}
	a.placed = a.placed[a.before(now.Add(-a.keep)):]
	recent, every := a.recent(now), admissionSample
	if recent < a.floor/2 {
		every = time.Second
	}
	if a.looking.IsZero() && now.Sub(a.looked) >= every {
		if ids = a.some(now); len(ids) > 0 {
			a.looking = now
		}
	}
	if a.before(now.Add(-admissionWindow)) == 0 {
		a.recovers = time.Time{}
	}
	switch {
	case len(a.placed) >= a.most:
	case recent < a.limit(now), now.Before(a.recovers):
		return ids, nil
	case !a.looking.IsZero() && now.Sub(a.looking) > time.Second: // the database does not say
		return ids, nil
	case now.Sub(a.lastLeft) > admissionStalled && now.Sub(a.placed[len(a.placed)-recent].at) > admissionStalled:
		return ids, nil
	}
	return ids, errs.New(errs.Transient, "%d orders within %s are PENDING, of which %d leave per second: %w",
		recent, admissionWindow, a.rate(now), ErrOverloaded)
}

// accepted notes an order that was accepted.
func (a *admission) accepted(id uuid.UUID, at time.Time) {
	if a.target <= 0 {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if n := len(a.placed); n > 0 && at.Before(a.placed[n-1].at) {
		at = a.placed[n-1].at // a request that ended later began earlier, or the clock was set back
	}
	a.placed = append(a.placed, placed{id, at})
}

// before returns how many orders were placed before an instant.
func (a *admission) before(t time.Time) int {
	i, _ := slices.BinarySearchFunc(a.placed, t, func(p placed, t time.Time) int { return p.at.Compare(t) })
	return i
}

// recent returns how many orders are PENDING that were placed within the window, as far as is known.
func (a *admission) recent(now time.Time) int {
	return len(a.placed) - a.before(now.Add(-admissionWindow))
}

// rate returns how many orders have left PENDING within the last second.
func (a *admission) rate(now time.Time) int {
	n := 0
	for _, d := range a.left {
		if now.Sub(d.at) <= time.Second {
			n += d.orders
		}
	}
	return n
}

func (a *admission) limit(now time.Time) int {
	return max(a.floor, int(float64(a.rate(now))*a.target.Seconds()))
}

// some returns the orders to look at: the oldest, which show whether a backlog is worked off, and the
// oldest of the window.
func (a *admission) some(now time.Time) []uuid.UUID {
	window := a.before(now.Add(-admissionWindow))
	old, recent := a.placed[:min(window, admissionLook/2)], a.placed[window:]
	var ids []uuid.UUID
	for _, p := range slices.Concat(old, recent[:min(len(recent), admissionLook-len(old))]) {
		ids = append(ids, p.id)
	}
	return ids
}

// look asks which orders are still PENDING, and forgets the others.
func (a *admission) look(now time.Time, ids []uuid.UUID) {
	ctx, cancel := context.WithTimeout(context.Background(), admissionWindow)
	defer cancel()
	began := time.Now()
	still, err := a.pending(ctx, ids)
	now = now.Add(time.Since(began))
	a.mu.Lock()
	defer a.mu.Unlock()
	a.looking, a.looked = time.Time{}, now
	if err != nil {
		return
	}
	gone := map[uuid.UUID]bool{}
	for _, id := range ids {
		gone[id] = true
	}
	for _, id := range still {
		delete(gone, id)
	}
	if len(gone) == 0 {
		return
	}
	var took []time.Duration
	a.placed = slices.DeleteFunc(a.placed, func(p placed) bool {
		if gone[p.id] {
			took = append(took, now.Sub(p.at))
		}
		return gone[p.id]
	})
	if down := now.Sub(a.lastLeft); down > admissionWindow && took[0] > admissionWindow {
		a.recovers = now.Add(down)
	}
	slices.Sort(took)
	switch median := took[len(took)/2]; {
	case now.Before(a.recovers):
	case median > a.target*3/2:
		a.floor = max(admissionLeast, a.floor*9/10)
	case median < a.target:
		a.floor = min(admissionFloor, a.floor+2)
	}
	a.left = slices.DeleteFunc(a.left, func(d departure) bool { return now.Sub(d.at) > time.Second })
	a.left, a.lastLeft = append(a.left, departure{now, len(gone)}), now
}
