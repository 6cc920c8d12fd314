// Package carrier simulates a parcel carrier. It takes shipments over HTTP, cancels them until they
// leave, and reports in a feed when they leave and arrive.
//
// It guarantees that one idempotency key ships at most one parcel, that a parcel is cancelled or
// dispatched but never both, that the feed keeps its order and its sequence numbers, and that every
// answer survives a crash. The times of dispatch and delivery are fixed at scheduling, so a carrier
// that was down catches up when it starts. When the journal cannot be written, the carrier answers
// 500 and Run returns, so that the process ends.
//
// The Idempotency-Key header names a schedule operation. The same key with the same body gets the
// first answer again, with the present state. The same key with another body gets 422.
package carrier

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
	OperationSchedule = "schedule"
	OperationCancel   = "cancel"
	OperationLookup   = "lookup"
	OperationUpdates  = "updates"
)

const (
	defaultPage = 200
	maxPage     = 1000
)

type address struct {
	Street     string `json:"street"`
	City       string `json:"city"`
	PostalCode string `json:"postalCode"`
	Country    string `json:"country"`
}

type item struct {
	SKU      string `json:"sku"`
	Quantity int64  `json:"quantity"`
}

type shipmentRequest struct {
	OrderID    string  `json:"orderId"`
	CustomerID string  `json:"customerId"`
	Address    address `json:"address"`
	Items      []item  `json:"items"`
}

type cancelRequest struct {
	OrderID    string `json:"orderId"`
	CustomerID string `json:"customerId"`
}

// Config configures a carrier.
type Config struct {
	// Folder holds the journal. Open creates it if it is missing.
	Folder string
	// DispatchAfter is the time from scheduling to dispatch, DeliverAfter the time from
	// dispatch to delivery.
	DispatchAfter time.Duration
	DeliverAfter  time.Duration
	// Now is the clock.
	Now func() time.Time
}

// Server is the carrier. [Open] creates it, and [Server.Close] ends it.
type Server struct {
	book   *book
	faults *faults.Set
}

// Open opens a carrier and replays the journal in the folder.
func Open(cfg Config) (*Server, error) { return openOn(cfg, (*os.File).Sync) }

// openOn is [Open] with another fsync function.
func openOn(cfg Config, fsync func(*os.File) error) (*Server, error) {
	if err := os.MkdirAll(cfg.Folder, 0o750); err != nil {
		return nil, err
	}
	b, err := openBook(filepath.Join(cfg.Folder, "carrier.jsonl"), cfg, fsync)
	if err != nil {
		return nil, err
	}
	return &Server{book: b, faults: faults.New(faults.Abilities{
		Operations: []string{OperationSchedule, OperationCancel, OperationLookup, OperationUpdates},
		Refuse:     true,
		Delays:     true,
	})}, nil
}

// Run moves parcels when they are due. It returns nil when ctx is done, or the journal's error as
// soon as there is one.
func (s *Server) Run(ctx context.Context) error {
	for {
		timer := time.NewTimer(s.untilDue())
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-s.book.journal.Failed():
			timer.Stop()
			return s.book.journal.Err()
		case <-s.book.wake:
			timer.Stop()
		case <-timer.C:
			_, err := s.book.decide(func(time.Time) (outcome, error) { return repeated, nil })
			if err != nil {
				return err
			}
		}
	}
}

// untilDue returns how long Run may sleep. Without a due parcel, Run sleeps up to an hour unless it
// is woken.
func (s *Server) untilDue() time.Duration {
	at, ok := s.book.nextDue()
	if !ok {
		return time.Hour
	}
	return at.Sub(s.book.now())
}

// Ready returns nil while the journal can be written.
func (s *Server) Ready(context.Context) error { return s.book.journal.Err() }

// Close makes the journal durable and releases it.
func (s *Server) Close() error { return s.book.journal.Close() }

// Handler serves the carrier's API and its fault rules.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/shipments", s.postShipment)
	mux.HandleFunc("GET /v1/shipments/{key}", s.getShipment)
	mux.HandleFunc("POST /v1/shipments/{key}/cancel", s.postCancel)
	mux.HandleFunc("GET /v1/updates", s.getUpdates)
	s.faults.Register(mux)
	return wire.Routes(mux)
}

func (s *Server) postShipment(w http.ResponseWriter, r *http.Request) {
	key, ok := wire.Key(w, r)
	if !ok {
		return
	}
	var req shipmentRequest
	if !wire.Read(w, r, &req) {
		return
	}
	if req.OrderID == "" || req.Address == (address{}) || len(req.Items) == 0 {
		wire.Send(w, wire.Refuse(http.StatusBadRequest, "bad_request", "orderId, address and items are required"))
		return
	}
	call := faults.Call{Operation: OperationSchedule, OrderID: req.OrderID, CustomerID: req.CustomerID, Key: key}
	s.faults.Serve(w, r, call, func(e faults.Effect) wire.Answer {
		shipment, what, err := s.book.schedule(key, req, e)
		if err != nil {
			return failed(err)
		}
		switch what {
		case applied:
			return wire.Answer{Status: http.StatusCreated, Body: shipment}
		case refused:
			return wire.Refuse(http.StatusUnprocessableEntity, shipment.Code, "the carrier does not take this shipment")
		case cancelled:
			return wire.Refuse(http.StatusConflict, "cancelled", "key %q was cancelled and takes no shipment any more", key)
		case keyReused:
			return wire.Refuse(http.StatusUnprocessableEntity, "idempotency_key_reused", "key %q was used for another request", key)
		}
		return wire.Answer{Status: http.StatusOK, Body: shipment}
	})
}

func (s *Server) getShipment(w http.ResponseWriter, r *http.Request) {
	key := r.PathValue("key")
	s.faults.Serve(w, r, s.callFor(OperationLookup, key), func(faults.Effect) wire.Answer {
		shipment, found, err := s.book.lookup(key)
		if err != nil {
			return failed(err)
		}
		if !found {
			return wire.Refuse(http.StatusNotFound, "unknown_shipment", "no shipment has key %q", key)
		}
		return wire.Answer{Status: http.StatusOK, Body: shipment}
	})
}

func (s *Server) postCancel(w http.ResponseWriter, r *http.Request) {
	key := r.PathValue("key")
	var req cancelRequest
	if !wire.ReadOptional(w, r, &req) {
		return
	}
	call := s.callFor(OperationCancel, key)
	if call.OrderID == "" {
		call.OrderID, call.CustomerID = req.OrderID, req.CustomerID
	}
	s.faults.Serve(w, r, call, func(faults.Effect) wire.Answer {
		shipment, what, err := s.book.cancel(key, req)
		if err != nil {
			return failed(err)
		}
		if what == departed {
			return wire.Refuse(http.StatusConflict, string(shipment.Status), "the parcel has left").With("shipment", shipment)
		}
		return wire.Answer{Status: http.StatusOK, Body: shipment}
	})
}

func (s *Server) getUpdates(w http.ResponseWriter, r *http.Request) {
	after, limit, ok := wire.Page(w, r, defaultPage, maxPage)
	if !ok {
		return
	}
	s.faults.Serve(w, r, faults.Call{Operation: OperationUpdates}, func(faults.Effect) wire.Answer {
		updates, err := s.book.page(after, limit)
		if err != nil {
			return failed(err)
		}
		next := after
		if len(updates) > 0 {
			next = updates[len(updates)-1].Seq
		}
		return wire.Answer{Status: http.StatusOK, Body: map[string]any{"updates": updates, "next": next}}
	})
}

func (s *Server) callFor(operation, key string) faults.Call {
	orderID, customerID := s.book.owner(key)
	return faults.Call{Operation: operation, OrderID: orderID, CustomerID: customerID, Key: key}
}

func failed(err error) wire.Answer {
	return wire.Refuse(http.StatusInternalServerError, "book_unavailable", "%v", err)
}
