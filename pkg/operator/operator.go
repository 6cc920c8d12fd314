// Package operator is the HTTP API with which operators see and decide what happens to the records
// that a consumer group failed at: list, show, edit, resubmit and discard dead letters, list the
// parked keys. Its contract is openapi.yaml; package operatorapi is generated from it and has the
// client as well. The process's profiles are served beside it, at
// /debug/pprof/.
//
// # What it guarantees
//
//   - Every change is recorded in the dead letter's audit trail with the operator's name, in the
//     change's own transaction, and is logged once.
//   - A change that is repeated has one effect.
//   - A dry run writes nothing.
//
// Package retry determines what happens to the records.
//
// # What it does not
//
// It does not authenticate: any client that reaches the listener may do everything, and X-Operator
// is trusted. So it belongs on a listener of its own that only operators reach, on the loopback
// interface or a network for operations, never beside a service's public API.
//
// # How it fails
//
// It needs only the database. With the schema registry down, dead letters can be listed, shown in
// base64, resubmitted and discarded; only editing a payload as JSON must wait (503). Before the
// tables exist, and while the database is down, it answers 503. Profiles need no database.
package operator

import (
	"context"
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
	"eventshop.example/pkg/operator/operatorapi"
	"eventshop.example/pkg/outbox/admin"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/projection"
	"eventshop.example/pkg/retry"
	"eventshop.example/pkg/schema"
	"eventshop.example/pkg/telemetry"
)

const (
	// maxBody is the largest request body in bytes: a payload of the largest size that Kafka
	// accepts (1 MiB) in base64 or as JSON, which takes a few times its size.
	maxBody = 4 << 20
	// deadline bounds a handler: publishing many rows again waits for the relays to stop.
	deadline = time.Minute
	// defaultLimit is the length of a page when the caller sets none.
	defaultLimit = 50
	// headerOperator contains the operator's name.
	headerOperator = "X-Operator"
	// maxLoggedKey is how much of a record's key is logged, in bytes; a UUID has 36.
	maxLoggedKey = 100
	// maxActor is the longest name of an operator, in characters.
	maxActor = 100
)

//go:embed openapi.yaml
var openapi []byte

// Config configures the API. All of it is required except Breakers and Projections.
type Config struct {
	Store    *retry.Store
	Pool     *pgxpool.Pool // of the Store's tables
	Codec    *schema.Codec
	Prepared func() bool // whether the tables exist; until then every response is 503
	Logger   *slog.Logger
	Outbox   admin.Admin        // of the same database
	Breakers []*breaker.Breaker // of this process; may be empty
	// Projections is the versions of the service's read models; nil: the service has none.
	Projections *projection.Control
	// Registerer receives the same HTTP metrics as a service's API, with the prefix "operator_".
	Registerer prometheus.Registerer
}

// Handler returns the API. An error is a bug: an invalid document, or metrics that are registered
// twice.
func Handler(cfg Config) (http.Handler, error) {
	routes, err := Routes(&api{cfg}, prometheus.WrapRegistererWithPrefix("operator_", cfg.Registerer))
	if err != nil {
		return nil, err
	}
	return profiles(httpapi.Gate(cfg.Prepared, routes)), nil
}

// Routes returns the routes of openapi.yaml behind its validation, answered by server. A client's
// tests use it with a server of their own.
func Routes(server operatorapi.ServerInterface, reg prometheus.Registerer) (http.Handler, error) {
	doc, err := httpapi.LoadSpec(openapi)
	if err != nil {
		return nil, err
	}
	router, err := httpapi.NewRouter(doc, reg, httpapi.WithMaxBody(maxBody), httpapi.WithDeadline(deadline))
	if err != nil {
		return nil, err
	}
	return operatorapi.HandlerWithOptions(server, operatorapi.ChiServerOptions{
		BaseRouter: router, ErrorHandlerFunc: httpapi.BadParameter,
	}), nil
}

// api answers the requests of openapi.yaml.
type api struct{ Config }

var _ operatorapi.ServerInterface = (*api)(nil)

// respond returns a function that responds with an answer: an error as problem details, a value as
// JSON, no value as 204. For an error that may be the database's own it checks the database with
// postgres.Settle.
func (a *api) respond(w http.ResponseWriter, r *http.Request) func(value any, err error) {
	return func(value any, err error) {
		switch {
		case err != nil:
			httpapi.WriteError(w, r, postgres.Settle(r.Context(), a.Pool, err))
		case value == nil:
			w.WriteHeader(http.StatusNoContent)
		default:
			httpapi.WriteJSON(w, http.StatusOK, value)
		}
	}
}

// idOf parses the id in the path. The router accepts only UUIDs.
func idOf(text operatorapi.ID) (uuid.UUID, error) {
	id, err := uuid.Parse(text)
	if err != nil {
		return id, badParameter("id", "must be a UUID")
	}
	return id, nil
}

// actorOf checks the operator's name. The document bounds its length, but it cannot express that a
// name must not end a line of the log or be invisible in it.
func actorOf(actor operatorapi.Operator) (string, error) {
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

// did logs one change. A dry run is not a change.
func (a *api) did(ctx context.Context, dryRun bool, what string, id uuid.UUID, actor string, about ...any) {
	if dryRun {
		return
	}
	about = append([]any{"operator", actor, "deadLetter", id, "group", a.Store.Group()}, about...)
	if d, err := a.Store.Get(ctx, a.Pool, id); err == nil { // on an error the change is logged without the subject
		key := d.Effective().Key
		about = append(about, telemetry.KeySubject, string(key[:min(len(key), maxLoggedKey)]))
	}
	a.Logger.InfoContext(ctx, what, about...)
}
