package gateway

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"os"
	"sync"
	"time"

	"eventshop.example/sandbox/journal"
)

// Kind says what an entry of the ledger did.
type Kind string

// The kinds of ledger entry.
const (
	KindCapture Kind = "capture" // money was taken
	KindDecline Kind = "decline" // the charge was refused; no money moved
	KindVoid    Kind = "void"    // the key was stopped before any capture
	KindRefund  Kind = "refund"  // money was given back
)

// Status is the state of a charge.
type Status string

// The states of a charge. Each of them is final.
const (
	StatusCaptured Status = "captured"
	StatusDeclined Status = "declined"
	StatusVoided   Status = "voided"
)

// Entry is one line of the ledger, as kept in the journal and as GET /v1/ledger shows
// it. Amounts are in minor units of Currency.
type Entry struct {
	Seq  int64     `json:"seq"`
	At   time.Time `json:"at"`
	Kind Kind      `json:"kind"`
	// OrderID and CustomerID are empty for a void of a key the ledger had never seen,
	// unless the caller gave them.
	OrderID    string `json:"orderId"`
	CustomerID string `json:"customerId"`
	// Key is the idempotency key of the operation: the charge's, or the refund's own.
	Key string `json:"key"`
	// ChargeKey is the key of the charge a refund belongs to.
	ChargeKey string `json:"chargeKey,omitempty"`
	ChargeID  string `json:"chargeId"`
	Amount    int64  `json:"amount"`
	Currency  string `json:"currency"`

	RefundID    string `json:"refundId,omitempty"`
	DeclineCode string `json:"declineCode,omitempty"`
	Reason      string `json:"reason,omitempty"`
	// Fingerprint is a hash of the request, so that a key used again for another
	// request is noticed after a restart too.
	Fingerprint string `json:"fingerprint,omitempty"`
}

// Charge is the state of one idempotency key. Voided keys have one too: it is what
// refuses a charge that arrives late.
type Charge struct {
	ChargeID    string `json:"chargeId"`
	Key         string `json:"key"`
	OrderID     string `json:"orderId"`
	CustomerID  string `json:"customerId"`
	Status      Status `json:"status"`
	DeclineCode string `json:"declineCode,omitempty"`
	Amount      int64  `json:"amount"`
	Currency    string `json:"currency"`
	Refunded    int64  `json:"refunded"`

	fingerprint string
}

// Refund is money given back on a charge.
type Refund struct {
	RefundID  string `json:"refundId"`
	Key       string `json:"key"`
	ChargeKey string `json:"chargeKey"`
	Status    string `json:"status"` // always "refunded"
	Amount    int64  `json:"amount"`
	Currency  string `json:"currency"`

	fingerprint string
}

// outcome is what a decision led to; the handlers turn it into HTTP.
type outcome int

const (
	applied    outcome = iota // written to the ledger by this call
	repeated                  // decided earlier by the same key, same answer
	keyReused                 // the key was used for another request
	voided                    // the key was voided before
	captured                  // cannot void, the money was taken
	unknown                   // no charge has this key
	notCharged                // the charge took no money
	overRefund                // more than what is left of the charge
)

// ledger is the gateway's memory: a journal and what follows from it. Every decision is
// made and written under mu; every answer waits for the journal to be durable.
type ledger struct {
	journal *journal.Journal[Entry]
	now     func() time.Time

	mu      sync.Mutex
	entries []Entry
	charges map[string]*Charge
	refunds map[string]*Refund
}

func openLedger(path string, now func() time.Time, fsync func(*os.File) error) (*ledger, error) {
	l := &ledger{now: now, charges: map[string]*Charge{}, refunds: map[string]*Refund{}}
	j, err := journal.OpenOn(path, func(_ journal.Position, e Entry) error { return l.apply(e) }, fsync)
	if err != nil {
		return nil, err
	}
	l.journal = j
	return l, nil
}

// apply is the only way the maps change: from a new entry and from a replayed one alike.
func (l *ledger) apply(e Entry) error {
	switch e.Kind {
	case KindCapture, KindDecline, KindVoid:
		status := map[Kind]Status{KindCapture: StatusCaptured, KindDecline: StatusDeclined, KindVoid: StatusVoided}[e.Kind]
		l.charges[e.Key] = &Charge{
			ChargeID: e.ChargeID, Key: e.Key, OrderID: e.OrderID, CustomerID: e.CustomerID,
			Status: status, DeclineCode: e.DeclineCode, Amount: e.Amount, Currency: e.Currency,
			fingerprint: e.Fingerprint,
		}
	case KindRefund:
		charge, ok := l.charges[e.ChargeKey]
		if !ok {
			return fmt.Errorf("refund %q of a charge %q that is not in the ledger", e.Key, e.ChargeKey)
		}
		charge.Refunded += e.Amount
		l.refunds[e.Key] = &Refund{
			RefundID: e.RefundID, Key: e.Key, ChargeKey: e.ChargeKey, Status: "refunded",
			Amount: e.Amount, Currency: e.Currency, fingerprint: e.Fingerprint,
		}
	default:
		return fmt.Errorf("ledger entry of unknown kind %q", e.Kind)
	}
	l.entries = append(l.entries, e)
	return nil
}

// record is called with mu held.
func (l *ledger) record(e Entry) error {
	e.Seq, e.At = int64(len(l.entries))+1, l.now().UTC()
	if _, err := l.journal.Write(e); err != nil {
		return err
	}
	return l.apply(e)
}

// decide runs decision under the lock, then waits until everything it may have seen or
// written is durable: no answer rests on something a crash could still take back.
func (l *ledger) decide(decision func() (outcome, error)) (outcome, error) {
	l.mu.Lock()
	what, err := decision()
	seen := l.journal.Last()
	l.mu.Unlock()
	if err != nil {
		return 0, err
	}
	return what, l.journal.Sync(seen)
}

// charge captures or, with a decline code, declines.
func (l *ledger) charge(key string, req chargeRequest, decline string) (Charge, outcome, error) {
	var charge Charge
	sum := fingerprint(req)
	what, err := l.decide(func() (outcome, error) {
		if known, ok := l.charges[key]; ok {
			charge = *known
			switch {
			case known.Status == StatusVoided:
				return voided, nil
			case known.fingerprint != sum:
				return keyReused, nil
			}
			return repeated, nil
		}
		entry := Entry{
			Kind: KindCapture, OrderID: req.OrderID, CustomerID: req.CustomerID, Key: key,
			ChargeID: fmt.Sprintf("ch_%08d", len(l.entries)+1),
			Amount:   req.Amount, Currency: req.Currency, Fingerprint: sum,
		}
		if decline != "" {
			entry.Kind, entry.DeclineCode = KindDecline, decline
		}
		if err := l.record(entry); err != nil {
			return 0, err
		}
		charge = *l.charges[key]
		return applied, nil
	})
	return charge, what, err
}

// void stops a key for good unless it was captured. A key never seen gets a tombstone;
// a declined charge needs none, its key already answers "declined" for ever.
func (l *ledger) void(key string, req voidRequest) (Charge, outcome, error) {
	var charge Charge
	what, err := l.decide(func() (outcome, error) {
		if known, ok := l.charges[key]; ok {
			charge = *known
			if known.Status == StatusCaptured {
				return captured, nil
			}
			return repeated, nil
		}
		err := l.record(Entry{Kind: KindVoid, Key: key, OrderID: req.OrderID, CustomerID: req.CustomerID, Reason: req.Reason})
		if err != nil {
			return 0, err
		}
		charge = *l.charges[key]
		return applied, nil
	})
	return charge, what, err
}

// refund gives back all or part of a captured charge, never more in total than it took.
func (l *ledger) refund(key string, req refundRequest) (Refund, outcome, error) {
	var refund Refund
	sum := fingerprint(req)
	what, err := l.decide(func() (outcome, error) {
		if known, ok := l.refunds[key]; ok {
			refund = *known
			if known.fingerprint != sum {
				return keyReused, nil
			}
			return repeated, nil
		}
		charge, ok := l.charges[req.ChargeKey]
		switch {
		case !ok:
			return unknown, nil
		case charge.Status != StatusCaptured:
			return notCharged, nil
		case req.Amount > charge.Amount-charge.Refunded:
			return overRefund, nil
		}
		err := l.record(Entry{
			Kind: KindRefund, OrderID: charge.OrderID, CustomerID: charge.CustomerID, Key: key,
			ChargeKey: req.ChargeKey, ChargeID: charge.ChargeID, Amount: req.Amount, Currency: charge.Currency,
			RefundID: fmt.Sprintf("re_%08d", len(l.entries)+1), Reason: req.Reason, Fingerprint: sum,
		})
		if err != nil {
			return 0, err
		}
		refund = *l.refunds[key]
		return applied, nil
	})
	return refund, what, err
}

// lookup returns the charge with this key.
func (l *ledger) lookup(key string) (Charge, bool, error) {
	var charge Charge
	what, err := l.decide(func() (outcome, error) {
		known, ok := l.charges[key]
		if !ok {
			return unknown, nil
		}
		charge = *known
		return repeated, nil
	})
	return charge, what == repeated, err
}

// page returns up to limit entries behind after.
func (l *ledger) page(after int64, limit int) ([]Entry, error) {
	var page []Entry
	_, err := l.decide(func() (outcome, error) {
		from := min(max(after, 0), int64(len(l.entries)))
		to := min(from+int64(limit), int64(len(l.entries)))
		page = append([]Entry{}, l.entries[from:to]...)
		return repeated, nil
	})
	return page, err
}

// owner says whose order a key belongs to, as far as the ledger knows.
func (l *ledger) owner(key string) (orderID, customerID string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c, ok := l.charges[key]; ok {
		return c.OrderID, c.CustomerID
	}
	return "", ""
}

// fingerprint hashes a request in its canonical JSON form (fields in struct order).
func fingerprint(req any) string {
	hash := fnv.New128a()
	// Structs of strings and integers always encode, and the hash never fails.
	_ = json.NewEncoder(hash).Encode(req)
	return fmt.Sprintf("%x", hash.Sum(nil))
}
