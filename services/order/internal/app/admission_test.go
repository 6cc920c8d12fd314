package app

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"eventshop.example/services/order/internal/db"
)

// sagas simulates the rest of the system, in steps of a millisecond: orders leave PENDING in their
// order, at most so many a second and not before the saga's own time has passed.
type sagas struct {
	now      time.Time
	capacity float64       // orders per second; 0: something is down
	own      time.Duration // of a saga without a queue
	replicas []*admission

	credit  float64
	queue   []placed
	stuck   map[uuid.UUID]bool
	pending map[uuid.UUID]bool
	took    []time.Duration // of the orders that left, in their order
	left    []time.Time
	refused []time.Time
	looks   int
	serials uint64
}

func newSagas(replicas int) *sagas {
	s := &sagas{now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), capacity: 150, own: 50 * time.Millisecond,
		stuck: map[uuid.UUID]bool{}, pending: map[uuid.UUID]bool{}}
	for range replicas {
		s.replicas = append(s.replicas, &admission{target: time.Second, most: 5000, keep: 5 * time.Minute,
			start:   func(look func()) { look() },
			pending: s.look})
	}
	return s
}

// serial makes ids unique, and those of one millisecond ascend.
func (s *sagas) serial() []byte {
	s.serials++
	return binary.BigEndian.AppendUint64(nil, s.serials)
}

// look is what the database answers.
func (s *sagas) look(_ context.Context, p db.PendingOrdersParams) (rows []db.PendingOrdersRow, err error) {
	s.looks++
	for _, id := range p.OrderIds {
		if s.pending[id] {
			rows = append(rows, db.PendingOrdersRow{OrderID: id})
		}
	}
	for _, since := range []uuid.UUID{{}, p.Since} {
		i := slices.IndexFunc(s.queue, func(p placed) bool { return p.id.String() >= since.String() })
		if i >= 0 {
			rows = append(rows, db.PendingOrdersRow{OrderID: s.queue[i].id, Oldest: true})
		}
	}
	return rows, nil
}

// place offers one order to a replica.
func (s *sagas) place(t *testing.T, replica int) (id uuid.UUID, accepted bool) {
	t.Helper()
	a := s.replicas[replica%len(s.replicas)]
	if err := a.admit(s.now); err != nil {
		if !errors.Is(err, ErrOverloaded) {
			t.Fatal(err)
		}
		s.refused = append(s.refused, s.now)
		return uuid.Nil, false
	}
	id = idSince(s.now)
	copy(id[6:], s.serial())
	a.accepted(id, s.now)
	s.pending[id] = true
	s.queue = append(s.queue, placed{id, s.now})
	return id, true
}

// run offers so many orders a second for a while.
func (s *sagas) run(t *testing.T, during time.Duration, perSecond float64) {
	t.Helper()
	due, n := 0.0, 0
	for range during.Milliseconds() {
		s.now = s.now.Add(time.Millisecond)
		for due += perSecond / 1000; due >= 1; due-- {
			s.place(t, n)
			n++
		}
		s.credit = min(s.credit+s.capacity/1000, 5)
		for i := 0; i < len(s.queue) && s.credit >= 1; {
			switch p := s.queue[i]; {
			case s.stuck[p.id]:
				i++
				continue
			case s.now.Sub(p.at) < s.own:
				i = len(s.queue)
			default:
				delete(s.pending, p.id)
				s.queue = slices.Delete(s.queue, i, i+1)
				s.took, s.left = append(s.took, s.now.Sub(p.at)), append(s.left, s.now)
				s.credit--
			}
		}
	}
}

// since returns how many orders left, the 99th percentile of their time, and how many were refused, all since
// an instant.
func (s *sagas) since(began time.Time) (left int, p99 time.Duration, refused int) {
	i := slices.IndexFunc(s.left, func(at time.Time) bool { return !at.Before(began) })
	if i >= 0 {
		took := slices.Sorted(slices.Values(s.took[i:]))
		left, p99 = len(took), took[len(took)*99/100]
	}
	for _, at := range s.refused {
		if !at.Before(began) {
			refused++
		}
	}
	return left, p99, refused
}

// TestAcceptedOrdersAreConfirmedInTime: whatever is offered, and however many replicas accept, the saga
// works at its capacity, and accepted orders take less than two seconds. What is accepted at the very
// start, before any order has shown how long it takes, may take longer where the saga is slow.
func TestAcceptedOrdersAreConfirmedInTime(t *testing.T) {
	t.Parallel()
	for _, capacity := range []float64{6, 20, 75, 150, 600} {
		for _, offered := range []float64{1.2, 2, 20} {
			for _, replicas := range []int{1, 3} {
				t.Run(fmt.Sprintf("%g a second, %g times as many offered, %d replicas", capacity, offered, replicas), func(t *testing.T) {
					t.Parallel()
					s := newSagas(replicas)
					s.capacity = capacity
					s.run(t, 10*time.Second, offered*capacity)
					// Each replica accepts its floor before it knows how long an order takes.
					first := time.Duration(float64(replicas*admissionFloor) / capacity * float64(time.Second))
					if _, p99, _ := s.since(s.now.Add(-10 * time.Second)); p99 > max(5*time.Second, first) {
						t.Errorf("p99 of the first seconds is %s", p99)
					}
					s.run(t, 2*first, offered*capacity)
					began := s.now
					s.run(t, 30*time.Second, offered*capacity)
					left, p99, refused := s.since(began)
					if p99 > 2*time.Second || float64(left) < 0.9*30*capacity || refused == 0 {
						t.Errorf("%d of %.0f left, p99 %s, %d refused", left, 30*capacity, p99, refused)
					}
				})
			}
		}
	}
}

// TestNoLoadIsRefused: below its capacity the system refuses none, though it pauses for a moment, and though
// some orders are stuck; and at low load the database is asked once a second.
func TestNoLoadIsRefused(t *testing.T) {
	t.Parallel()
	s := newSagas(1)
	s.run(t, 10*time.Second, 30)
	if len(s.refused) > 0 || s.looks > 10 {
		t.Errorf("at low load %d refused, %d looks", len(s.refused), s.looks)
	}
	s.run(t, 4*time.Second, 0)
	for range 90 {
		id, accepted := s.place(t, 0)
		if !accepted {
			t.Fatal("refused")
		}
		s.stuck[id] = true
	}
	s.run(t, 4*time.Second, 0)
	began := s.now
	s.run(t, 30*time.Second, 120)
	if _, p99, refused := s.since(began); refused > 0 || p99 > 500*time.Millisecond {
		t.Errorf("with stuck orders %d refused, p99 %s", refused, p99)
	}
}

// TestAnOutageIsMadeUpFor: after an outage no order is refused while the queue is worked off. What is offered
// above the capacity all the same is refused before long.
func TestAnOutageIsMadeUpFor(t *testing.T) {
	t.Parallel()
	s := newSagas(1)
	s.capacity = 60
	s.run(t, 5*time.Second, 20)
	s.capacity = 0
	s.run(t, 15*time.Second, 20)
	s.capacity = 60
	s.run(t, 20*time.Second, 20)
	if len(s.refused) > 0 {
		t.Errorf("%d refused", len(s.refused))
	}
	s.capacity = 0
	s.run(t, 5*time.Second, 150)
	s.capacity = 60
	s.run(t, time.Minute, 150)
	began := s.now
	s.run(t, 20*time.Second, 150)
	if left, p99, _ := s.since(began); p99 > 2*time.Second || left < 1000 {
		t.Errorf("%d left, p99 %s", left, p99)
	}
}

// TestAnOutageIsNoOverload: while nothing leaves, orders are accepted and queued, up to the bound. When
// it is over and the queue has become short, they are accepted as before.
func TestAnOutageIsNoOverload(t *testing.T) {
	t.Parallel()
	s := newSagas(2)
	s.run(t, 5*time.Second, 80)
	s.capacity = 0
	began := s.now
	s.run(t, 10*time.Second, 80)
	if _, _, refused := s.since(began); refused > 0 {
		t.Errorf("%d refused while something is down", refused)
	}
	s.run(t, 30*time.Second, 1000)
	queued := len(s.queue)
	if most := 2 * s.replicas[0].most; queued != most {
		t.Errorf("%d orders queued, want %d", queued, most)
	}
	s.capacity = 600
	s.run(t, 40*time.Second, 80)
	began = s.now
	s.run(t, 10*time.Second, 80)
	if left, p99, refused := s.since(began); refused > 0 || p99 > time.Second || left < 700 {
		t.Errorf("after the outage %d left, p99 %s, %d refused", left, p99, refused)
	}
}

// TestNoAnswerIsNoRefusal: while the database does not say which orders are PENDING, they are accepted.
func TestNoAnswerIsNoRefusal(t *testing.T) {
	t.Parallel()
	s := newSagas(1)
	s.replicas[0].start = func(func()) {} // a look without an end
	s.run(t, 5*time.Second, 300)
	began := s.now
	s.run(t, 5*time.Second, 300)
	if _, _, refused := s.since(began); refused > 0 {
		t.Errorf("%d refused", refused)
	}
}

// TestASlowSagaIsNotFlooded: when the saga becomes slower than what is accepted in any case, the backlog of
// that moment is worked off, and then accepted orders are in time again; and so they are when the saga is
// fast again, and none is refused.
func TestASlowSagaIsNotFlooded(t *testing.T) {
	t.Parallel()
	s := newSagas(2)
	s.run(t, 10*time.Second, 40)
	s.capacity = 6
	s.run(t, time.Minute, 40)
	began := s.now
	s.run(t, 30*time.Second, 40)
	if left, p99, _ := s.since(began); p99 > 2*time.Second || left < 160 {
		t.Errorf("slow: %d left, p99 %s", left, p99)
	}
	s.capacity = 150
	s.run(t, 10*time.Second, 40)
	began = s.now
	s.run(t, 30*time.Second, 40)
	if left, p99, refused := s.since(began); p99 > time.Second || left < 1100 || refused > 0 {
		t.Errorf("fast again: %d left, p99 %s, %d refused", left, p99, refused)
	}
}
