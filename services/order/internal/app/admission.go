package app

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"eventshop.example/pkg/errs"
	"eventshop.example/services/order/internal/db"
)

// ErrOverloaded is the error of an order that is not accepted because too many are PENDING. Nothing was
// written, and the client can try again.
var ErrOverloaded = errors.New("too many orders are waiting for their confirmation")

const (
	admissionWindow  = 3 * time.Second        // older PENDING orders are stuck, or wait for an outage: they are no load
	admissionFloor   = 100                    // orders of one window that are accepted while these take less than the target time and a half
	admissionLeast   = 3                      // the same while they take longer
	admissionSample  = 100 * time.Millisecond // between two looks at the database under load, otherwise a second
	admissionStalled = 750 * time.Millisecond // without a departure, or four times as long as usual: something is down
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
// queued is confirmed.
//
// Orders that have been PENDING for longer than admissionWindow are either a backlog or stuck. When such
// orders leave, they are a backlog and count as load, however slow the saga is. When only younger ones
// leave, the old ones are stuck and do not count.
//
// Each process bounds its own orders. Replicas that share the load reach the same time, and no count has
// to be shared. The database is asked once a second at most, and ten times a second under load.
type admission struct {
	target  time.Duration
	most    int           // PENDING orders of this process while none leaves
	keep    time.Duration // how long an order can be PENDING
	pending func(ctx context.Context, p db.PendingOrdersParams) ([]db.PendingOrdersRow, error)
	start   func(look func()) // runs a look beside the request

	mu       sync.Mutex
	floor    float64     // between admissionLeast and admissionFloor
	placed   []placed    // accepted and not known to have left, oldest first
	looking  time.Time   // since when a look is under way; zero: none is
	looked   time.Time   // when the last look ended
	left     []departure // within the last second
	lastLeft time.Time
	oldest   []uuid.UUID   // the oldest PENDING orders of all replicas, as the last look saw them
	moved    time.Time     // when one of them, or of this process's orders, was last seen to have left
	gap      time.Duration // usual time without such a moment
	behind   bool          // orders leave that are older than the window: there is a backlog
	recovers time.Time     // until then an outage is being made up for
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
	load := recent
	if a.behind {
		load = len(a.placed)
	}
	if float64(load) < a.floor/2 {
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
	case load < a.limit(now), now.Before(a.recovers):
		return ids, nil
	case !a.looking.IsZero() && now.Sub(a.looking) > time.Second: // the database does not say
		return ids, nil
	case now.Sub(a.moved) > a.stalled() && now.Sub(a.placed[len(a.placed)-load].at) > a.stalled():
		return ids, nil
	}
	return ids, errs.New(errs.Transient, "%d orders are PENDING, of which %d leave per second: %w", load, a.rate(now), ErrOverloaded)
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

// idSince returns the least id of an order placed at an instant or later: a UUIDv7 begins with its time in
// milliseconds.
func idSince(t time.Time) (id uuid.UUID) {
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(max(t.UnixMilli(), 0)))
	copy(id[:6], ms[2:])
	return id
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

// noteMove notes that some order, of any replica, has left since the look before, which ended at before.
func (a *admission) noteMove(now, before time.Time) {
	if gap := before.Sub(a.moved); !a.moved.IsZero() && gap <= admissionWindow { // else the first one, or the end of an outage
		a.gap += (max(gap, 0) - a.gap) / 8
	}
	a.moved = now
}

// stalled returns how long no order may leave before something is down.
func (a *admission) stalled() time.Duration {
	return max(admissionStalled, min(4*a.gap, admissionWindow))
}

func (a *admission) limit(now time.Time) int {
	return int(max(a.floor, float64(a.rate(now))*a.target.Seconds()))
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
	a.mu.Lock()
	oldest := a.oldest
	a.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), admissionWindow)
	defer cancel()
	began := time.Now()
	rows, err := a.pending(ctx, db.PendingOrdersParams{OrderIds: slices.Concat(ids, oldest), Since: idSince(now.Add(-admissionWindow))})
	now = now.Add(time.Since(began))
	a.mu.Lock()
	defer a.mu.Unlock()
	before := a.looked
	a.looking, a.looked = time.Time{}, now
	if err != nil {
		return
	}
	left := map[uuid.UUID]bool{}
	for _, id := range slices.Concat(ids, oldest) {
		left[id] = true
	}
	a.oldest = nil
	for _, row := range rows {
		delete(left, row.OrderID)
		if row.Oldest {
			a.oldest = append(a.oldest, row.OrderID)
		}
	}
	if len(left) > 0 {
		a.noteMove(now, before)
	}
	gone := map[uuid.UUID]bool{}
	for _, id := range ids {
		if left[id] {
			gone[id] = true
		}
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
		a.floor = max(admissionLeast, a.floor*0.9)
		a.behind = a.behind || median > admissionWindow
	case median < a.target:
		a.floor = min(admissionFloor, a.floor+min(2, float64(len(gone))/8))
		a.behind = false
	}
	a.left = slices.DeleteFunc(a.left, func(d departure) bool { return now.Sub(d.at) > time.Second })
	a.left, a.lastLeft = append(a.left, departure{now, len(gone)}), now
}
