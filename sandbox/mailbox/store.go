package mailbox

import (
	"os"
	"sort"
	"sync"
	"time"

	"eventshop.example/sandbox/faults"
	"eventshop.example/sandbox/journal"
)

// Status is the state of an idempotency key. Both are final.
type Status string

// The states of a key.
const (
	StatusDelivered Status = "delivered"
	StatusRefused   Status = "refused"
)

// Mail is a line of the journal and an answer. Seq rises, has gaps and is never used twice. Code is
// the reason of a refusal.
type Mail struct {
	Seq    int64     `json:"seq"`
	At     time.Time `json:"at"`
	Key    string    `json:"key"`
	Status Status    `json:"status"`
	Code   string    `json:"code,omitempty"`
	Request
}

type outcome int

const (
	applied   outcome = iota // this call delivered or refused the mail
	repeated                 // decided earlier for the same key, with the same mail
	keyReused                // the key was used for another mail
)

// store is the mailbox's state: a journal and the state derived from it. Every decision is made and
// written under mu. Every answer waits until the journal is durable.
type store struct {
	journal *journal.Journal[Mail]
	now     func() time.Time

	mu        sync.Mutex
	byKey     map[string]Mail
	delivered []Mail            // by Seq
	byOrder   map[string][]Mail // the same, by order
}

func openStore(path string, now func() time.Time, fsync func(*os.File) error) (*store, error) {
	s := &store{now: now, byKey: map[string]Mail{}, byOrder: map[string][]Mail{}}
	j, err := journal.OpenOn(path, func(at journal.Position, m Mail) error { s.apply(int64(at), m); return nil }, fsync)
	if err != nil {
		return nil, err
	}
	s.journal = j
	return s, nil
}

// apply is the only place that changes the state, both for a new mail and for a replayed one.
func (s *store) apply(seq int64, m Mail) {
	m.Seq = seq
	s.byKey[m.Key] = m
	if m.Status == StatusDelivered {
		s.delivered, s.byOrder[m.OrderID] = append(s.delivered, m), append(s.byOrder[m.OrderID], m)
	}
}

// decide runs decision under the lock. Then it waits until everything that decision may have read or
// written is durable.
func (s *store) decide(decision func() error) error {
	s.mu.Lock()
	err := decision()
	seen := s.journal.Last()
	s.mu.Unlock()
	if err != nil {
		return err
	}
	return s.journal.Sync(seen)
}

// send delivers a mail. With a code in refuse, it refuses the mail for good.
func (s *store) send(key string, req Request, refuse string) (mail Mail, what outcome, err error) {
	err = s.decide(func() error {
		if known, ok := s.byKey[key]; ok {
			mail, what = known, repeated
			if known.Request != req {
				what = keyReused
			}
			return nil
		}
		m := Mail{At: s.now().UTC(), Key: key, Status: StatusDelivered, Code: refuse, Request: req}
		if refuse != "" {
			m.Status = StatusRefused
		}
		at, err := s.journal.Write(m)
		if err != nil {
			return err
		}
		s.apply(int64(at), m)
		mail = s.byKey[key]
		return nil
	})
	return mail, what, err
}

func (s *store) lookup(key string) (mail Mail, found bool, err error) {
	err = s.decide(func() error { mail, found = s.byKey[key]; return nil })
	return mail, found, err
}

// page returns up to limit delivered mails with a sequence number above after, of one order or, for
// "", of all. count is the number of all delivered mails of the order, whatever the page.
func (s *store) page(orderID string, after int64, limit int) (page []Mail, count int, err error) {
	err = s.decide(func() error {
		mails := s.delivered
		if orderID != "" {
			mails = s.byOrder[orderID]
		}
		from := sort.Search(len(mails), func(i int) bool { return mails[i].Seq > after })
		page, count = append([]Mail{}, mails[from:min(from+limit, len(mails))]...), len(mails)
		return nil
	})
	return page, count, err
}

// owner returns a call about a key, as far as the store knows the key.
func (s *store) owner(key string) faults.Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.byKey[key]
	return faults.Call{OrderID: m.OrderID, CustomerID: m.CustomerID, Key: key}
}
