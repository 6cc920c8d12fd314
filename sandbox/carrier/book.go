package carrier

import (
	"container/heap"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"os"
	"sort"
	"sync"
	"time"

	"eventshop.example/sandbox/faults"
	"eventshop.example/sandbox/journal"
)

type outcome int

const (
	applied   outcome = iota // this call wrote it to the book
	repeated                 // decided earlier for the same key, with the same answer
	keyReused                // the key was used for another request
	refused                  // the carrier does not take this shipment
	cancelled                // the key had been cancelled
	departed                 // too late to cancel: dispatched or delivered
	unknown                  // no shipment has this key
)

// book is the carrier's state: a journal and the state derived from it. Every decision is made and
// written under mu. Every answer waits until the journal is durable.
type book struct {
	journal       *journal.Journal[entry]
	now           func() time.Time
	dispatchAfter time.Duration
	deliverAfter  time.Duration
	// wake tells [Server.Run] that the next due time may be earlier.
	wake chan struct{}

	mu        sync.Mutex
	shipments map[string]*Shipment
	updates   []Update
	due       dueHeap
}

func openBook(path string, cfg Config, fsync func(*os.File) error) (*book, error) {
	b := &book{
		now: cfg.Now, dispatchAfter: cfg.DispatchAfter, deliverAfter: cfg.DeliverAfter,
		wake: make(chan struct{}, 1), shipments: map[string]*Shipment{},
	}
	j, err := journal.OpenOn(path, func(at journal.Position, e entry) error { return b.apply(int64(at), e) }, fsync)
	if err != nil {
		return nil, err
	}
	b.journal = j
	return b, nil
}

// apply is the only place that changes the state, both for a new entry and for a replayed one.
func (b *book) apply(seq int64, e entry) error {
	s := b.shipments[e.Key]
	if s == nil {
		s = &Shipment{Key: e.Key, OrderID: e.OrderID, Carrier: Name, customerID: e.CustomerID}
		b.shipments[e.Key] = s
	}
	s.Status = e.Status
	switch e.Status {
	case StatusScheduled:
		s.ShipmentID = fmt.Sprintf("shp_%08d", seq)
		s.TrackingID = fmt.Sprintf("SX%010d", seq)
		s.fingerprint, s.dispatchAt, s.deliverAt = e.Fingerprint, e.DispatchAt, e.DeliverAt
		heap.Push(&b.due, due{s.dispatchAt, StatusScheduled, s})
	case StatusRefused:
		s.fingerprint, s.Code = e.Fingerprint, e.Code
	case StatusCancelled:
	case StatusDispatched:
		s.DispatchedAt = e.At
		b.report(seq, e, s)
		heap.Push(&b.due, due{s.deliverAt, StatusDispatched, s})
	case StatusDelivered:
		s.DeliveredAt = e.At
		b.report(seq, e, s)
	default:
		return fmt.Errorf("entry with unknown status %q", e.Status)
	}
	return nil
}

func (b *book) report(seq int64, e entry, s *Shipment) {
	b.updates = append(b.updates, Update{
		Seq: seq, At: e.At, Key: s.Key, OrderID: s.OrderID,
		ShipmentID: s.ShipmentID, TrackingID: s.TrackingID, Carrier: Name, Status: e.Status,
	})
}

// record requires that the caller holds mu.
func (b *book) record(e entry) error {
	at, err := b.journal.Write(e)
	if err != nil {
		return err
	}
	return b.apply(int64(at), e)
}

// decide moves parcels that are due and runs decision under the lock. Then it waits until
// everything that decision may have read or written is durable. Because due parcels move first, the
// clock decides a race between a cancellation and a dispatch, not the timer of [Server.Run].
func (b *book) decide(decision func(now time.Time) (outcome, error)) (outcome, error) {
	b.mu.Lock()
	now := b.now().UTC()
	what, err := outcome(0), b.advance(now)
	if err == nil {
		what, err = decision(now)
	}
	seen := b.journal.Last()
	b.mu.Unlock()
	if err != nil {
		return 0, err
	}
	return what, b.journal.Sync(seen)
}

// advance dispatches and delivers the parcels that are due. It drops a stale heap entry, whose
// parcel was cancelled or has already moved.
func (b *book) advance(now time.Time) error {
	for len(b.due) > 0 && !b.due[0].at.After(now) {
		next := heap.Pop(&b.due).(due)
		if next.shipment.Status != next.from {
			continue
		}
		to := StatusDispatched
		if next.from == StatusDispatched {
			to = StatusDelivered
		}
		if err := b.record(entry{At: now, Key: next.shipment.Key, Status: to}); err != nil {
			return err
		}
	}
	return nil
}

// schedule accepts a parcel. With a code in effect.Refuse, it refuses the parcel for good.
func (b *book) schedule(key string, req shipmentRequest, effect faults.Effect) (Shipment, outcome, error) {
	var shipment Shipment
	sum := fingerprint(req)
	what, err := b.decide(func(now time.Time) (outcome, error) {
		if known, ok := b.shipments[key]; ok {
			shipment = *known
			switch {
			case known.Status == StatusCancelled:
				return cancelled, nil
			case known.fingerprint != sum:
				return keyReused, nil
			case known.Status == StatusRefused:
				return refused, nil
			}
			return repeated, nil
		}
		e := entry{
			At: now, Key: key, Status: StatusScheduled, Request: &req,
			OrderID: req.OrderID, CustomerID: req.CustomerID, Fingerprint: sum,
			DispatchAt: now.Add(either(effect.DispatchAfter, b.dispatchAfter)),
		}
		e.DeliverAt = e.DispatchAt.Add(either(effect.DeliverAfter, b.deliverAfter))
		what := applied
		if effect.Refuse != "" {
			e.Status, e.Code, e.DispatchAt, e.DeliverAt = StatusRefused, effect.Refuse, time.Time{}, time.Time{}
			what = refused
		}
		if err := b.record(e); err != nil {
			return 0, err
		}
		shipment = *b.shipments[key]
		return what, nil
	})
	select {
	case b.wake <- struct{}{}:
	default:
	}
	return shipment, what, err
}

func either(override *time.Duration, standard time.Duration) time.Duration {
	if override != nil {
		return *override
	}
	return standard
}

// cancel stops a parcel that has not left. An unknown key gets a tombstone. A refused key needs
// none, because it always answers "refused".
func (b *book) cancel(key string, req cancelRequest) (Shipment, outcome, error) {
	var shipment Shipment
	what, err := b.decide(func(now time.Time) (outcome, error) {
		if known, ok := b.shipments[key]; ok && known.Status != StatusScheduled {
			shipment = *known
			if known.Status == StatusDispatched || known.Status == StatusDelivered {
				return departed, nil
			}
			return repeated, nil
		}
		err := b.record(entry{At: now, Key: key, Status: StatusCancelled, OrderID: req.OrderID, CustomerID: req.CustomerID})
		if err != nil {
			return 0, err
		}
		shipment = *b.shipments[key]
		return applied, nil
	})
	return shipment, what, err
}

func (b *book) lookup(key string) (Shipment, bool, error) {
	var shipment Shipment
	what, err := b.decide(func(time.Time) (outcome, error) {
		known, ok := b.shipments[key]
		if !ok {
			return unknown, nil
		}
		shipment = *known
		return repeated, nil
	})
	return shipment, what == repeated, err
}

// page returns up to limit updates with a sequence number above after.
func (b *book) page(after int64, limit int) ([]Update, error) {
	var page []Update
	_, err := b.decide(func(time.Time) (outcome, error) {
		from := sort.Search(len(b.updates), func(i int) bool { return b.updates[i].Seq > after })
		to := min(from+limit, len(b.updates))
		page = append([]Update{}, b.updates[from:to]...)
		return repeated, nil
	})
	return page, err
}

// owner returns the order and the customer of a key, as far as the book has them.
func (b *book) owner(key string) (orderID, customerID string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s, ok := b.shipments[key]; ok {
		return s.OrderID, s.customerID
	}
	return "", ""
}

// nextDue returns when advance next has something to do. ok is false when no parcel is due.
func (b *book) nextDue() (at time.Time, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.due) == 0 {
		return time.Time{}, false
	}
	return b.due[0].at, true
}

// fingerprint hashes a request in its canonical JSON form (fields in the order of the struct).
func fingerprint(req any) string {
	hash := fnv.New128a()
	// Structs of strings and integers always encode, and the hash never fails.
	_ = json.NewEncoder(hash).Encode(req)
	return fmt.Sprintf("%x", hash.Sum(nil))
}
