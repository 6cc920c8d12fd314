// Package gateway simulates a card payment gateway: charges, voids and refunds over HTTP, with
// idempotency keys and a durable ledger.
//
// It guarantees that one idempotency key takes money at most once, that a key is captured or voided
// but never both, whichever request comes first, that refunds never exceed the capture, and that
// every answer survives a crash. It does not check cards: every charge is captured unless a fault
// rule declines it. When the journal cannot be written, the gateway answers 500 and Run returns.
// The process then ends, so that it does not answer from state that is not on the disk.
//
// The Idempotency-Key header (draft-ietf-httpapi-idempotency-key-header) names an operation. The
// same key with the same body gets the first answer again. The same key with another body gets 422.
package gateway

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"eventshop.example/sandbox/faults"
	"eventshop.example/sandbox/internal/wire"
)

// The operations that fault rules can name.
const (
	OperationCharge = "charge"
	OperationRefund = "refund"
	OperationVoid   = "void"
	OperationLookup = "lookup"
)

// chargeRequest is the request of a charge. Its JSON form is hashed into the ledger (see
// fingerprint), so it must not change.
type chargeRequest struct {
	OrderID    string `json:"orderId"`
	CustomerID string `json:"customerId"`
	Amount     int64  `json:"amount"` // minor units
	Currency   string `json:"currency"`
}

type voidRequest struct {
	OrderID    string `json:"orderId"`
	CustomerID string `json:"customerId"`
	Reason     string `json:"reason"`
}

// refundRequest is hashed in the same way as [chargeRequest].
type refundRequest struct {
	ChargeKey string `json:"chargeKey"`
	Amount    int64  `json:"amount"` // minor units of the charge's currency
	Reason    string `json:"reason"`
}

// Server is the gateway. [Open] creates it, and [Server.Close] ends it.
type Server struct {
	ledger *ledger
	faults *faults.Set
}

// Open opens a gateway and replays the ledger in folder. It creates the folder if it is missing.
// now is the clock of the ledger's entries.
func Open(folder string, now func() time.Time) (*Server, error) {
	return openOn(folder, now, (*os.File).Sync)
}

// openOn is [Open] with another fsync function.
func openOn(folder string, now func() time.Time, fsync func(*os.File) error) (*Server, error) {
	if err := os.MkdirAll(folder, 0o750); err != nil {
		return nil, err
	}
	l, err := openLedger(filepath.Join(folder, "gateway.jsonl"), now, fsync)
	if err != nil {
		return nil, err
	}
	return &Server{ledger: l, faults: faults.New(faults.Abilities{
		Operations: []string{OperationCharge, OperationRefund, OperationVoid, OperationLookup},
		Decline:    true,
	})}, nil
}

// Run returns nil when ctx is done, or the journal's error as soon as there is one.
func (s *Server) Run(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-s.ledger.journal.Failed():
		return s.ledger.journal.Err()
	}
}

// Ready returns nil while the ledger can be written.
func (s *Server) Ready(context.Context) error { return s.ledger.journal.Err() }

// Close makes the ledger durable and releases it.
func (s *Server) Close() error { return s.ledger.journal.Close() }

// Handler serves the gateway's API and its fault rules.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/charges", s.postCharge)
	mux.HandleFunc("GET /v1/charges/{key}", s.getCharge)
	mux.HandleFunc("POST /v1/charges/{key}/void", s.postVoid)
	mux.HandleFunc("POST /v1/refunds", s.postRefund)
	mux.HandleFunc("GET /v1/ledger", s.getLedger)
	s.faults.Register(mux)
	return wire.Routes(mux)
}

func (s *Server) postCharge(w http.ResponseWriter, r *http.Request) {
	key, ok := wire.Key(w, r)
	if !ok {
		return
	}
	var body struct {
		OrderID    string `json:"orderId"`
		CustomerID string `json:"customerId"`
		minorUnits
		Currency string `json:"currency"`
	}
	if !wire.Read(w, r, &body) {
		return
	}
	amount, ok := body.value(w)
	if !ok {
		return
	}
	req := chargeRequest{OrderID: body.OrderID, CustomerID: body.CustomerID, Amount: amount, Currency: body.Currency}
	if req.OrderID == "" || req.Amount <= 0 || len(req.Currency) != 3 {
		wire.Send(w, wire.Refuse(http.StatusBadRequest, "bad_request",
			"orderId, an amountMinor above 0 and a currency of 3 letters are required"))
		return
	}
	call := faults.Call{Operation: OperationCharge, OrderID: req.OrderID, CustomerID: req.CustomerID, Key: key}
	s.faults.Serve(w, r, call, func(e faults.Effect) wire.Answer {
		charge, what, err := s.ledger.charge(key, req, e.Decline)
		if err != nil {
			return failed(err)
		}
		switch what {
		case applied:
			return wire.Answer{Status: http.StatusCreated, Body: viewCharge(charge)}
		case voided:
			return wire.Refuse(http.StatusConflict, "voided", "key %q was voided and takes no charge any more", key)
		case keyReused:
			return reused(key)
		}
		return wire.Answer{Status: http.StatusOK, Body: viewCharge(charge)}
	})
}

func (s *Server) getCharge(w http.ResponseWriter, r *http.Request) {
	key := r.PathValue("key")
	s.faults.Serve(w, r, s.callFor(OperationLookup, key), func(faults.Effect) wire.Answer {
		charge, found, err := s.ledger.lookup(key)
		if err != nil {
			return failed(err)
		}
		if !found {
			return wire.Refuse(http.StatusNotFound, "unknown_charge", "no charge has key %q", key)
		}
		return wire.Answer{Status: http.StatusOK, Body: viewCharge(charge)}
	})
}

func (s *Server) postVoid(w http.ResponseWriter, r *http.Request) {
	key := r.PathValue("key")
	var req voidRequest
	if !wire.ReadOptional(w, r, &req) {
		return
	}
	call := s.callFor(OperationVoid, key)
	if call.OrderID == "" {
		call.OrderID, call.CustomerID = req.OrderID, req.CustomerID
	}
	s.faults.Serve(w, r, call, func(faults.Effect) wire.Answer {
		charge, what, err := s.ledger.void(key, req)
		if err != nil {
			return failed(err)
		}
		if what == captured {
			return wire.Refuse(http.StatusConflict, "captured", "charge %q took money", key).With("charge", viewCharge(charge))
		}
		return wire.Answer{Status: http.StatusOK, Body: viewCharge(charge)}
	})
}

func (s *Server) postRefund(w http.ResponseWriter, r *http.Request) {
	key, ok := wire.Key(w, r)
	if !ok {
		return
	}
	var body struct {
		ChargeKey string `json:"chargeKey"`
		minorUnits
		Reason string `json:"reason"`
	}
	if !wire.Read(w, r, &body) {
		return
	}
	amount, ok := body.value(w)
	if !ok {
		return
	}
	req := refundRequest{ChargeKey: body.ChargeKey, Amount: amount, Reason: body.Reason}
	if req.ChargeKey == "" || req.Amount <= 0 {
		wire.Send(w, wire.Refuse(http.StatusBadRequest, "bad_request", "chargeKey and an amountMinor above 0 are required"))
		return
	}
	call := s.callFor(OperationRefund, req.ChargeKey)
	call.Key = key
	s.faults.Serve(w, r, call, func(faults.Effect) wire.Answer {
		refund, what, err := s.ledger.refund(key, req)
		if err != nil {
			return failed(err)
		}
		switch what {
		case applied:
			return wire.Answer{Status: http.StatusCreated, Body: viewRefund(refund)}
		case unknown:
			return wire.Refuse(http.StatusNotFound, "unknown_charge", "no charge has key %q", req.ChargeKey)
		case notCharged:
			return wire.Refuse(http.StatusConflict, "not_captured", "charge %q took no money", req.ChargeKey)
		case overRefund:
			return wire.Refuse(http.StatusConflict, "over_refund", "%d is more than what is left of charge %q", req.Amount, req.ChargeKey)
		case keyReused:
			return reused(key)
		}
		return wire.Answer{Status: http.StatusOK, Body: viewRefund(refund)}
	})
}

func (s *Server) callFor(operation, key string) faults.Call {
	orderID, customerID := s.ledger.owner(key)
	return faults.Call{Operation: operation, OrderID: orderID, CustomerID: customerID, Key: key}
}

func reused(key string) wire.Answer {
	return wire.Refuse(http.StatusUnprocessableEntity, "idempotency_key_reused", "key %q was used for another request", key)
}

func failed(err error) wire.Answer {
	return wire.Refuse(http.StatusInternalServerError, "ledger_unavailable", "%v", err)
}
