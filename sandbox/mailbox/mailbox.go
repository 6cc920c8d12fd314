// Package mailbox simulates a mail provider and the customers' mailboxes behind it. It takes mails
// over HTTP and shows what has arrived.
//
// It guarantees that one idempotency key delivers at most one mail, and that every answer survives a
// crash. The same key with the same body gets the first answer again. The same key with another body
// gets 422. When the journal cannot be written, the mailbox answers 500 and Run returns, so that the
// process ends.
package mailbox

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
	OperationSend   = "send"
	OperationLookup = "lookup"
)

const (
	defaultPage = 1000
	maxPage     = 10_000
	maxKey      = 255 // bytes, as in the other servers
)

// Request is a mail to deliver. OrderID and CustomerID are the sender's references.
type Request struct {
	OrderID    string `json:"orderId"`
	CustomerID string `json:"customerId"`
	To         string `json:"to"`
	Subject    string `json:"subject"`
	Text       string `json:"text"`
}

// Server is the mailbox. [Open] creates it, and [Server.Close] ends it.
type Server struct {
	store  *store
	faults *faults.Set
}

// Open opens a mailbox and replays the journal in the folder, which it creates if it is missing. now
// is the clock.
func Open(folder string, now func() time.Time) (*Server, error) {
	return openOn(folder, now, (*os.File).Sync)
}

// openOn is [Open] with another fsync function.
func openOn(folder string, now func() time.Time, fsync func(*os.File) error) (*Server, error) {
	if err := os.MkdirAll(folder, 0o750); err != nil {
		return nil, err
	}
	s, err := openStore(filepath.Join(folder, "mailbox.jsonl"), now, fsync)
	if err != nil {
		return nil, err
	}
	return &Server{store: s, faults: faults.New(faults.Abilities{
		Operations: []string{OperationSend, OperationLookup}, Refuse: true,
	})}, nil
}

// Run returns nil when ctx is done, or the journal's error as soon as there is one.
func (s *Server) Run(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-s.store.journal.Failed():
		return s.store.journal.Err()
	}
}

// Ready returns nil while the journal can be written.
func (s *Server) Ready(context.Context) error { return s.store.journal.Err() }

// Close makes the journal durable and releases it.
func (s *Server) Close() error { return s.store.journal.Close() }

// Handler serves the mailbox's API and its fault rules.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /v1/mails/{key}", s.putMail)
	mux.HandleFunc("GET /v1/mails/{key}", s.getMail)
	mux.HandleFunc("GET /v1/mails", s.getMails)
	s.faults.Register(mux)
	return wire.Routes(mux)
}

func (s *Server) putMail(w http.ResponseWriter, r *http.Request) {
	key := r.PathValue("key")
	var req Request
	if !wire.Read(w, r, &req) {
		return
	}
	if len(key) > maxKey || req.OrderID == "" || req.To == "" || req.Text == "" {
		wire.Send(w, wire.Refuse(http.StatusBadRequest, "bad_request", "orderId, to and text are required, and a key of at most %d bytes", maxKey))
		return
	}
	call := faults.Call{Operation: OperationSend, OrderID: req.OrderID, CustomerID: req.CustomerID, Key: key}
	s.faults.Serve(w, r, call, func(e faults.Effect) wire.Answer {
		mail, what, err := s.store.send(key, req, e.Refuse)
		if err != nil {
			return failed(err)
		}
		switch {
		case what == keyReused:
			return wire.Refuse(http.StatusUnprocessableEntity, "idempotency_key_reused", "key %q was used for another mail", key)
		case mail.Status == StatusRefused:
			return wire.Refuse(http.StatusUnprocessableEntity, mail.Code, "the mailbox does not take this mail")
		case what == applied:
			return wire.Answer{Status: http.StatusCreated, Body: mail}
		}
		return wire.Answer{Status: http.StatusOK, Body: mail}
	})
}

func (s *Server) getMail(w http.ResponseWriter, r *http.Request) {
	key := r.PathValue("key")
	call := s.store.owner(key)
	call.Operation = OperationLookup
	s.faults.Serve(w, r, call, func(faults.Effect) wire.Answer {
		mail, found, err := s.store.lookup(key)
		if err != nil {
			return failed(err)
		}
		if !found {
			return wire.Refuse(http.StatusNotFound, "unknown_mail", "no mail has key %q", key)
		}
		return wire.Answer{Status: http.StatusOK, Body: mail}
	})
}

// getMails is for auditors and has no fault rules: it shows what really arrived while faults were
// active. With order it lists the mails about that order.
func (s *Server) getMails(w http.ResponseWriter, r *http.Request) {
	after, limit, ok := wire.Page(w, r, defaultPage, maxPage)
	if !ok {
		return
	}
	query := r.URL.Query()
	if query.Has("order") && query.Get("order") == "" { // otherwise a client that lost the id would take all mails for one order's
		wire.Send(w, wire.Refuse(http.StatusBadRequest, "bad_request", "order is empty; leave it out for all orders"))
		return
	}
	mails, count, err := s.store.page(query.Get("order"), after, limit)
	if err != nil {
		wire.Send(w, failed(err))
		return
	}
	wire.Send(w, wire.Answer{Status: http.StatusOK, Body: map[string]any{"mails": mails, "count": count}})
}

func failed(err error) wire.Answer {
	return wire.Refuse(http.StatusInternalServerError, "mailbox_unavailable", "%v", err)
}
