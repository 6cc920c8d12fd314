package httpapi

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/postgres"
)

// Headers of idempotent requests (IETF draft-ietf-httpapi-idempotency-key-header).
const (
	HeaderIdempotencyKey = "Idempotency-Key"
	HeaderCaller         = "X-Caller-Id"          // default "anonymous"
	HeaderReplayed       = "Idempotency-Replayed" // "true" on an answer from the store
)

// pruneEvery is short beside the 24 hours a key is kept and long beside the cost
// of a DELETE over an index.
const pruneEvery = 15 * time.Minute

//go:embed migrations/*.sql
var idempotencyFiles embed.FS

// IdempotencyComponent is the table idempotency_keys, for postgres.Migrate.
func IdempotencyComponent() postgres.Component {
	return postgres.Component{Name: "idempotency", FS: idempotencyFiles, Grants: []postgres.Grant{
		{Table: "idempotency_keys", App: "SELECT, INSERT, UPDATE, DELETE"},
	}}
}

// stored is an answer: what is sent and what is kept of it.
type stored struct {
	status  int
	headers http.Header
	body    []byte
}

// Idempotent runs fn in a transaction and answers with the status and body it
// returns (a nil body is no content). With an Idempotency-Key the answer, and
// the headers fn set on w, are stored in the same transaction under (caller,
// scope, key) for 24 hours:
//
//   - the same key and request again: the same bytes, and Idempotency-Replayed
//   - the same key, another method, target or body: 422
//   - the same key while the first is still running: 409 with Retry-After
//   - a key that is not 1 to 255 printable ASCII characters, or two keys: 400
//
// When fn returns an error nothing is written or stored and the error is
// answered (see WriteError), so the same key can be tried again. An answer is
// sent only after the commit. If the connection breaks or the deadline passes during it the
// answer is 503, and a repetition under the same key finds out what happened. A refusal of the
// database that may be its own fault is 503 when a harmless write fails as well (postgres.Settle).
//
// scope names the operation, such as "POST /orders". fn must do its effects in
// tx only: it does not run when the answer is replayed.
func Idempotent(w http.ResponseWriter, r *http.Request, pool *pgxpool.Pool, scope string, fn func(ctx context.Context, tx pgx.Tx) (status int, body any, err error)) {
	id, err := identify(r, scope)
	if err != nil {
		WriteError(w, r, err)
		return
	}
	before := w.Header().Clone()
	var out stored
	replayed := false
	err = postgres.InTx(r.Context(), pool, func(tx pgx.Tx) error {
		if id.key != "" {
			found, err := id.find(r.Context(), tx)
			if err != nil {
				return err
			}
			if found != nil {
				out, replayed = *found, true
				return nil
			}
		}
		if out, err = perform(r.Context(), tx, w.Header(), before, fn); err != nil {
			return err
		}
		if id.key == "" {
			return nil
		}
		return id.store(r.Context(), tx, out)
	})
	if err != nil {
		err = postgres.Settle(r.Context(), pool, err)
		restore(w.Header(), before)
		if errors.Is(err, errInFlight) {
			w.Header().Set("Retry-After", retryAfterSeconds)
			err = Problem{Type: problemType("idempotency-key-in-use"), Title: "A request with this key is being handled",
				Status: http.StatusConflict, Detail: "try again to get its answer"}
		}
		WriteError(w, r, err)
		return
	}
	maps.Copy(w.Header(), out.headers)
	if replayed {
		w.Header().Set(HeaderReplayed, "true")
	}
	if out.body == nil {
		w.WriteHeader(out.status)
		return
	}
	writeBody(w, out.status, "application/json", out.body)
}

// perform runs fn and notes what it answers.
func perform(ctx context.Context, tx pgx.Tx, header, before http.Header, fn func(context.Context, pgx.Tx) (int, any, error)) (stored, error) {
	status, body, err := fn(ctx, tx)
	if err != nil {
		return stored{}, err
	}
	out := stored{status: status, headers: http.Header{}}
	for name, values := range header {
		if !slices.Equal(values, before[name]) {
			out.headers[name] = values
		}
	}
	if body != nil {
		if out.body, err = json.Marshal(body); err != nil {
			return stored{}, fmt.Errorf("encode the answer: %w", err)
		}
	}
	return out, nil
}

// restore takes back headers of an answer that is not given.
func restore(header, before http.Header) {
	clear(header)
	maps.Copy(header, before)
}

// errInFlight never leaves this file.
var errInFlight = errors.New("the key is in use")

func problemType(name string) string { return "https://eventshop.example/problems/" + name }

// identity is what a stored answer is found by.
type identity struct {
	caller, scope, key string
	hash               []byte
}

func identify(r *http.Request, scope string) (identity, error) {
	id := identity{caller: "anonymous", scope: scope}
	if given := r.Header.Values(HeaderCaller); len(given) > 0 {
		if id.caller = given[0]; len(given) > 1 || !validToken(id.caller) {
			return id, badHeader(HeaderCaller)
		}
	}
	given := r.Header.Values(HeaderIdempotencyKey)
	if len(given) == 0 {
		return id, nil
	}
	if id.key = given[0]; len(given) > 1 || !validToken(id.key) {
		return id, badHeader(HeaderIdempotencyKey)
	}
	b, err := readBody(r, MaxBody)
	if err != nil {
		return id, err
	}
	h := sha256.New()
	fmt.Fprintf(h, "%s %s\n", r.Method, r.URL.RequestURI())
	h.Write(b.data)
	id.hash = h.Sum(nil)
	return id, nil
}

func badHeader(name string) error {
	return WithStatus(http.StatusBadRequest,
		errs.Field(name, "must be given once, with 1 to %d printable ASCII characters", maxToken))
}

// find takes the key's lock until the end of the transaction and looks for a
// stored answer; nil if there is none. errInFlight when another transaction has
// the lock.
func (id identity) find(ctx context.Context, tx pgx.Tx) (*stored, error) {
	var locked bool
	if err := tx.QueryRow(ctx, "SELECT pg_try_advisory_xact_lock($1)", id.lock()).Scan(&locked); err != nil {
		return nil, fmt.Errorf("lock the idempotency key: %w", err)
	}
	if !locked {
		return nil, errInFlight
	}
	// A statement of its own: under read committed it sees what the lock's last
	// holder committed.
	var hash, headers []byte
	var s stored
	err := tx.QueryRow(ctx, `
		SELECT request_hash, status, headers, body FROM idempotency_keys
		WHERE caller = $1 AND scope = $2 AND key = $3 AND created_at > now() - interval '24 hours'`,
		id.caller, id.scope, id.key).Scan(&hash, &s.status, &headers, &s.body)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("find the idempotency key: %w", err)
	}
	if !slices.Equal(hash, id.hash) {
		return nil, Problem{Type: problemType("idempotency-key-reused"), Title: "The key belongs to another request",
			Status: http.StatusUnprocessableEntity, Detail: "a request with this key had another body or target",
			Errors: []errs.FieldError{{Field: HeaderIdempotencyKey, Detail: "belongs to another request"}}}
	}
	if err := json.Unmarshal(headers, &s.headers); err != nil {
		return nil, fmt.Errorf("read the stored answer: %w", err)
	}
	if len(s.body) == 0 {
		s.body = nil
	}
	return &s, nil
}

// store keeps the answer, in the place of an expired one if there is.
func (id identity) store(ctx context.Context, tx pgx.Tx, s stored) error {
	headers, err := json.Marshal(s.headers)
	if err != nil {
		return fmt.Errorf("encode the answer's headers: %w", err)
	}
	_, err = tx.Exec(ctx, `
		INSERT INTO idempotency_keys AS k (caller, scope, key, request_hash, status, headers, body)
		VALUES ($1, $2, $3, $4, $5, $6, coalesce($7, ''::bytea))
		ON CONFLICT (caller, scope, key) DO UPDATE SET
			request_hash = excluded.request_hash, status = excluded.status,
			headers = excluded.headers, body = excluded.body, created_at = now()`,
		id.caller, id.scope, id.key, id.hash, s.status, headers, s.body)
	if err != nil {
		return fmt.Errorf("store the answer under the idempotency key: %w", err)
	}
	return nil
}

// lock is the advisory lock of the key: 64 bits of a hash. Two keys that share
// one would at worst answer 409 while both are in flight.
func (id identity) lock() int64 {
	sum := sha256.Sum256([]byte("idempotency\x00" + id.caller + "\x00" + id.scope + "\x00" + id.key))
	return int64(binary.BigEndian.Uint64(sum[:8]))
}

// PruneIdempotencyKeys deletes the answers older than 24 hours and returns how
// many there were. Correctness does not depend on it.
func PruneIdempotencyKeys(ctx context.Context, pool *pgxpool.Pool) (int64, error) {
	tag, err := pool.Exec(ctx, "DELETE FROM idempotency_keys WHERE created_at <= now() - interval '24 hours'")
	if err != nil {
		return 0, postgres.Classify(fmt.Errorf("prune idempotency keys: %w", err))
	}
	return tag.RowsAffected(), nil
}

// PruneLoop returns the Run of a component that prunes now and every 15 minutes
// until ctx is done. A failure is logged and left to the next round.
func PruneLoop(pool *pgxpool.Pool) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		ticker := time.NewTicker(pruneEvery)
		defer ticker.Stop()
		for {
			if n, err := PruneIdempotencyKeys(ctx, pool); err != nil && ctx.Err() == nil {
				slog.WarnContext(ctx, "prune idempotency keys", "error", err)
			} else if n > 0 {
				slog.InfoContext(ctx, "pruned idempotency keys", "count", n)
			}
			select {
			case <-ctx.Done():
				return nil
			case <-ticker.C:
			}
		}
	}
}
