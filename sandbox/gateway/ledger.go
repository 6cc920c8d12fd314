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

// Kind is the kind of a ledger entry.
type Kind string

// The kinds of ledger entry.
const (
	KindCapture Kind = "capture" // money was taken
	KindDecline Kind = "decline" // the charge was declined; no money moved
	KindVoid    Kind = "void"    // the key was closed before any capture
	KindRefund  Kind = "refund"  // money was refunded
)

// Status is the state of a charge.
type Status string

// The states of a charge. All of them are final.
const (
	StatusCaptured Status = "captured"
	StatusDeclined Status = "declined"
	StatusVoided   Status = "voided"
)

// Entry is one line of the ledger as the journal stores it. Its amount is in minor units of
// Currency. GET /v1/ledger shows it as an [entryView].
type Entry struct {
	Seq  int64     `json:"seq"`
	At   time.Time `json:"at"`
	Kind Kind      `json:"kind"`
	// OrderID and CustomerID are empty for a void of an unknown key, unless the caller sent them.
	OrderID    string `json:"orderId"`
	CustomerID string `json:"customerId"`
	// Key is the idempotency key of the operation: the key of the charge, or of the refund itself.
	Key string `json:"key"`
	// ChargeKey is the key of the refunded charge.
	ChargeKey string `json:"chargeKey,omitempty"`
	ChargeID  string `json:"chargeId"`
	Amount    int64  `json:"amount"`
	Currency  string `json:"currency"`

	RefundID    string `json:"refundId,omitempty"`
	DeclineCode string `json:"declineCode,omitempty"`
	Reason      string `json:"reason,omitempty"`
	// Fingerprint is a hash of the request, so that a reused key with another request is detected
	// after a restart too.
	Fingerprint string `json:"fingerprint,omitempty"`
}

// Charge is the state of one idempotency key. A voided key has one too, which refuses a charge that
// arrives late.
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

// Refund is money returned from a charge.
type Refund struct {
	RefundID  string `json:"refundId"`
	Key       string `json:"key"`
	ChargeKey string `json:"chargeKey"`
	Status    string `json:"status"` // always "refunded"
	Amount    int64  `json:"amount"`
	Currency  string `json:"currency"`

	fingerprint string
}

// outcome is the result of a decision. The handlers translate it to HTTP.
type outcome int

const (
	applied    outcome = iota // this call wrote it to the ledger
	repeated                  // decided earlier for the same key, with the same answer
	keyReused                 // the key was used for another request
	voided                    // the key had been voided
	captured                  // cannot void, because the money was taken
	unknown                   // no charge has this key
	notCharged                // the charge took no money
	overRefund                // more than the rest of the charge
)

// ledger is the gateway's state: a journal and the state derived from it. Every decision is made
// and written under mu. Every answer waits until the journal is durable.
type ledger struct {
	journal *journal.Journal[Entry]
	now     func() time.Time

	mu      sync.Mutex
	entries []Entry
	byOrder map[string][]int64 // the positions of an order's entries, rising
	charges map[string]*Charge
	refunds map[string]*Refund
}

func openLedger(path string, now func() time.Time, fsync func(*os.File) error) (*ledger, error) {
	l := &ledger{now: now, byOrder: map[string][]int64{}, charges: map[string]*Charge{}, refunds: map[string]*Refund{}}
	j, err := journal.OpenOn(path, func(_ journal.Position, e Entry) error { return l.apply(e) }, fsync)
	if err != nil {
		return nil, err
	}
	l.journal = j
	return l, nil
}

// apply is the only place that changes the maps, both for a new entry and for a replayed one.
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
	if e.OrderID != "" {
		l.byOrder[e.OrderID] = append(l.byOrder[e.OrderID], int64(len(l.entries)))
	}
	return nil
}

// record requires that the caller holds mu.
func (l *ledger) record(e Entry) error {
	e.Seq, e.At = int64(len(l.entries))+1, l.now().UTC()
	if _, err := l.journal.Write(e); err != nil {
		return err
	}
	return l.apply(e)
}

// decide runs decision under the lock. Then it waits until everything that decision may have read
// or written is durable. So no answer depends on state that a crash could remove.
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

// charge captures the amount, or declines it when decline is a code.
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

// void closes a key for good unless it was captured. An unknown key gets a tombstone. A declined
// charge needs none, because its key always answers "declined".
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

// refund returns all or part of a captured charge, and in total never more than the charge took.
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

// owner returns the order and the customer of a key, as far as the ledger has them.
func (l *ledger) owner(key string) (orderID, customerID string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c, ok := l.charges[key]; ok {
		return c.OrderID, c.CustomerID
	}
	return "", ""
}

// fingerprint hashes a request in its canonical JSON form (fields in the order of the struct).
func fingerprint(req any) string {
	hash := fnv.New128a()
	// Structs of strings and integers always encode, and the hash never fails.
	_ = json.NewEncoder(hash).Encode(req)
	return fmt.Sprintf("%x", hash.Sum(nil))
}
