// Package operator is the HTTP API through which people see and decide what becomes of
// the records a consumer group failed at: list, show, edit, resubmit and discard dead
// letters, list the keys that wait. Its contract is openapi.yaml.
//
// It guarantees that every change is recorded in the dead letter's audit trail with who
// made it, in the change's own transaction, and is logged once; that a change done twice
// has one effect; and that a dry run writes nothing. What happens to the records is
// package retry's business.
//
// It does not ask who somebody is: whoever reaches the listener may do everything, and
// X-Operator is believed. So it belongs on a listener of its own that only operators
// reach, on the loopback interface or a network for operations, never beside a
// service's public API.
//
// It works from the database alone. With the schema registry down dead letters are
// listed, shown in base64, resubmitted and discarded; only editing a payload as JSON has
// to wait (503). Before the tables are there, and while the database is down, it answers
// 503.
package operator

import (
	_ "embed"
	"log/slog"
	"net/http"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"eventshop.example/pkg/breaker"
	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/httpapi"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/retry"
	"eventshop.example/pkg/schema"
)

const (
	// maxBody is the largest request body in bytes: a payload as large as Kafka takes
	// (1 MiB) in base64 or as JSON, which takes a few times its size.
	maxBody = 4 << 20
	// deadline is for a handler: publishing many rows again waits for the relays to stop.
	deadline = time.Minute
	// defaultLimit is the length of a page unless the caller says another.
	defaultLimit = 50
	// headerOperator names who acts.
	headerOperator = "X-Operator"
	// maxActor is the longest name of an operator, in characters.
	maxActor = 100
)

//go:embed openapi.yaml
var openapi []byte

// Config says what the API is about. All of it is required but Breakers.
type Config struct {
	Store    *retry.Store
	Pool     *pgxpool.Pool // of the Store's tables
	Codec    *schema.Codec
	Prepared func() bool // whether the tables are there; until then everything is 503
	Logger   *slog.Logger
	Outbox   *outbox.Outbox     // of the same database
	Breakers []*breaker.Breaker // of this process; none is fine
	// Registerer gets the same HTTP metrics as a service's API, with the prefix "operator_".
	Registerer prometheus.Registerer
}

// Handler returns the API. The error is a bug: a document that is not valid, or metrics
// that are registered twice.
func Handler(cfg Config) (http.Handler, error) {
	doc, err := httpapi.LoadSpec(openapi)
	if err != nil {
		return nil, err
	}
	r, err := httpapi.NewRouter(doc, prometheus.WrapRegistererWithPrefix("operator_", cfg.Registerer), httpapi.WithMaxBody(maxBody), httpapi.WithDeadline(deadline))
	if err != nil {
		return nil, err
	}
	a := &api{cfg}
	r.Get("/dead-letters", a.endpoint(a.list))
	r.Get("/dead-letters/stats", a.endpoint(a.stats))
	r.Get("/dead-letters/{id}", a.endpoint(a.show))
	r.Patch("/dead-letters/{id}", a.endpoint(a.edit))
	r.Post("/dead-letters/{id}/resubmit", a.endpoint(a.resubmit))
	r.Post("/dead-letters/{id}/discard", a.endpoint(a.discard))
	r.Get("/parked", a.endpoint(a.parked))
	r.Get("/skips", a.endpoint(a.skips))
	r.Post("/skips", a.endpoint(a.skip))
	r.Get("/breakers", a.endpoint(a.breakers))
	r.Get("/outbox", a.endpoint(a.outbox))
	r.Post("/outbox/republish", a.endpoint(a.republish))
	r.Post("/outbox/hold", a.endpoint(a.hold))
	r.Post("/outbox/release", a.endpoint(a.release))
	r.Get("/outbox/relay", a.endpoint(a.relay))
	r.Put("/outbox/relay", a.endpoint(a.setRelay))
	return httpapi.Gate(cfg.Prepared, r), nil
}

type api struct{ Config }

// endpoint answers requests with what answer returns: its error as problem details, an
// answer as JSON, none as 204. An error that may be the database's own is looked into.
func (a *api) endpoint(answer func(r *http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		switch value, err := answer(r); {
		case err != nil:
			httpapi.WriteError(w, r, postgres.Settle(r.Context(), a.Pool, err))
		case value == nil:
			w.WriteHeader(http.StatusNoContent)
		default:
			httpapi.WriteJSON(w, http.StatusOK, value)
		}
	}
}

// idOf returns the id in the path. The router let only UUIDs through.
func idOf(r *http.Request) (uuid.UUID, error) {
	id, err := uuid.Parse(r.PathValue("id"))
	if err != nil {
		return id, badParameter("id", "must be a UUID")
	}
	return id, nil
}

// actorOf returns who acts. The document bounds the length; what it cannot say is that a
// name must not end a line of the log or hide in it.
func actorOf(r *http.Request) (string, error) {
	actor := r.Header.Get(headerOperator)
	if !utf8.ValidString(actor) || utf8.RuneCountInString(actor) > maxActor {
		return "", badParameter(headerOperator, "must be at most %d characters of UTF-8", maxActor)
	}
	for _, c := range actor {
		if !unicode.IsPrint(c) {
			return "", badParameter(headerOperator, "must be printable")
		}
	}
	return actor, nil
}

func badParameter(name, format string, args ...any) error {
	return httpapi.WithStatus(http.StatusBadRequest, errs.Field(name, format, args...))
}

// did logs one change, which dry runs are none of.
func (a *api) did(r *http.Request, dryRun bool, what string, id uuid.UUID, actor string, about ...any) {
	if dryRun {
		return
	}
	a.Logger.InfoContext(r.Context(), what, append([]any{"operator", actor, "dead_letter", id, "group", a.Store.Group()}, about...)...)
}
