// Package gateway simulates a card payment gateway: charges, voids and refunds over
// HTTP, with idempotency keys and a ledger that outlives the process.
//
// It guarantees that one idempotency key takes money at most once, that a key is
// captured or voided but never both whichever request comes first, that refunds never
// exceed what was captured, and that whatever was answered is still so after a crash.
// It does not check cards: every charge is captured unless a fault rule declines it.
// When its journal cannot be written it answers 500 and Run returns, so that the
// process ends instead of answering from a memory the disk does not share.
//
// An operation is named by the Idempotency-Key header (draft-ietf-httpapi-
// idempotency-key-header): the same key with the same body gets the first answer again,
// with another body 422.
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

// The operations fault rules can name.
const (
	OperationCharge = "charge"
	OperationRefund = "refund"
	OperationVoid   = "void"
	OperationLookup = "lookup"
)

const (
	defaultPage = 1000
	maxPage     = 10_000
)

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

type refundRequest struct {
	ChargeKey string `json:"chargeKey"`
	Amount    int64  `json:"amount"` // minor units of the charge's currency
	Reason    string `json:"reason"`
}

// Server is the gateway. Open creates it; Close ends it.
type Server struct {
	ledger *ledger
	faults *faults.Set
}

// Open replays the ledger in folder, which is created when missing. now stamps the
// ledger's entries.
func Open(folder string, now func() time.Time) (*Server, error) {
	return openOn(folder, now, (*os.File).Sync)
}

// openOn is Open on a disk with another fsync.
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

// Run returns nil when ctx is done, or the journal's error as soon as it has one.
func (s *Server) Run(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-s.ledger.journal.Failed():
		return s.ledger.journal.Err()
	}
}

// Ready is nil while the ledger can be written.
func (s *Server) Ready(context.Context) error { return s.ledger.journal.Err() }

// Close makes the ledger durable and releases it.
func (s *Server) Close() error { return s.ledger.journal.Close() }

// Handler serves the gateway's API and its fault switches.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/charges", s.postCharge)
	mux.HandleFunc("GET /v1/charges/{key}", s.getCharge)
	mux.HandleFunc("POST /v1/charges/{key}/void", s.postVoid)
	mux.HandleFunc("POST /v1/refunds", s.postRefund)
	mux.HandleFunc("GET /v1/ledger", s.getLedger)
	s.faults.Register(mux)
	return mux
}

func (s *Server) postCharge(w http.ResponseWriter, r *http.Request) {
	key, ok := wire.Key(w, r)
	if !ok {
		return
	}
	var req chargeRequest
	if !wire.Read(w, r, &req) {
		return
	}
	if req.OrderID == "" || req.Amount <= 0 || len(req.Currency) != 3 {
		wire.Send(w, wire.Refuse(http.StatusBadRequest, "bad_request",
			"orderId, an amount above 0 in minor units and a currency of 3 letters are required"))
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
			return wire.Answer{Status: http.StatusCreated, Body: charge}
		case voided:
			return wire.Refuse(http.StatusConflict, "voided", "key %q was voided and takes no charge any more", key)
		case keyReused:
			return reused(key)
		}
		return wire.Answer{Status: http.StatusOK, Body: charge}
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
		return wire.Answer{Status: http.StatusOK, Body: charge}
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
			return wire.Answer{Status: http.StatusConflict, Body: map[string]any{"code": "captured", "charge": charge}}
		}
		return wire.Answer{Status: http.StatusOK, Body: charge}
	})
}

func (s *Server) postRefund(w http.ResponseWriter, r *http.Request) {
	key, ok := wire.Key(w, r)
	if !ok {
		return
	}
	var req refundRequest
	if !wire.Read(w, r, &req) {
		return
	}
	if req.ChargeKey == "" || req.Amount <= 0 {
		wire.Send(w, wire.Refuse(http.StatusBadRequest, "bad_request", "chargeKey and an amount above 0 in minor units are required"))
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
			return wire.Answer{Status: http.StatusCreated, Body: refund}
		case unknown:
			return wire.Refuse(http.StatusNotFound, "unknown_charge", "no charge has key %q", req.ChargeKey)
		case notCharged:
			return wire.Refuse(http.StatusConflict, "not_captured", "charge %q took no money", req.ChargeKey)
		case overRefund:
			return wire.Refuse(http.StatusConflict, "over_refund", "%d is more than what is left of charge %q", req.Amount, req.ChargeKey)
		case keyReused:
			return reused(key)
		}
		return wire.Answer{Status: http.StatusOK, Body: refund}
	})
}

// getLedger is for auditors and has no fault rules: it is the oracle that says what
// really happened while the faults were on.
func (s *Server) getLedger(w http.ResponseWriter, r *http.Request) {
	after, limit, ok := wire.Page(w, r, defaultPage, maxPage)
	if !ok {
		return
	}
	entries, err := s.ledger.page(after, limit)
	if err != nil {
		wire.Send(w, failed(err))
		return
	}
	wire.Send(w, wire.Answer{Status: http.StatusOK, Body: map[string]any{"entries": entries}})
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
