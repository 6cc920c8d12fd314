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
	HeaderReplayed       = "Idempotency-Replayed" // "true" on a response from the store
)

// pruneEvery is short compared with the 24 hours that a key is kept, and long compared with the
// cost of a DELETE over an index.
const pruneEvery = 15 * time.Minute

//go:embed migrations/*.sql
var idempotencyFiles embed.FS

// IdempotencyComponent returns the migrations of the table idempotency_keys, for postgres.Migrate.
func IdempotencyComponent() postgres.Component {
	return postgres.Component{Name: "idempotency", FS: idempotencyFiles, Grants: []postgres.Grant{
		{Table: "idempotency_keys", App: "SELECT, INSERT, UPDATE, DELETE"},
	}}
}

// stored is a response as it is sent and stored.
type stored struct {
	status  int
	headers http.Header
	body    []byte
}

// Answer is what the function of [Idempotent] answers.
type Answer struct {
	Status int
	Body   any // encoded as JSON; nil: no content
	// Committed is called after the commit, for log lines and metrics; nil: nothing to do. It is not
	// called for a response from the store, whose effects were logged and counted before.
	Committed func(ctx context.Context)
}

// Amend sets headers that an answer from the store lacks because an earlier release stored it. It
// runs in the transaction that found the answer, for every answer from the store, and must write
// nothing. body is the answer's body.
type Amend func(ctx context.Context, tx pgx.Tx, header http.Header, body []byte) error

// Idempotent runs fn in a transaction ([postgres.InPipeline]) and responds with the answer that fn
// returns. With an Idempotency-Key the response, and the headers that fn set on w, are stored in the same transaction under (caller, scope, key) for 24 hours:
//
//   - the same key and request again: the same bytes, and Idempotency-Replayed
//   - the same key, another method, target or body: 422
//   - the same key while the first is still running: 409 with Retry-After
//   - a key that is not 1 to 255 printable ASCII characters, or two keys: 400
//
// The key costs no round trip of its own beyond one that looks for it: it is locked and looked for in
// one with BEGIN, and the response is stored in one with COMMIT.
//
// When fn returns an error, nothing is written or stored and the response is that error (see
// [WriteError]), so the client can try the same key again. A response is sent only after the
// commit. If the connection breaks or the deadline passes during the commit, the response is 503; a
// repetition under the same key returns the actual outcome. A refusal that may be the database's
// fault is 503 when a harmless write fails as well (postgres.Settle).
//
// scope names the operation, such as "POST /parcels". fn must make its effects in tx only: it does
// not run when the response is replayed. The functions amend run then.
func Idempotent(w http.ResponseWriter, r *http.Request, pool *pgxpool.Pool, scope string,
	fn func(ctx context.Context, tx pgx.Tx) (Answer, error), amend ...Amend,
) {
	id, err := identify(r, scope)
	if err != nil {
		WriteError(w, r, err)
		return
	}
	before := w.Header().Clone()
	var out stored
	replayed := false
	var committed func(context.Context)
	err = postgres.InPipeline(r.Context(), pool, func(tx pgx.Tx) error {
		if id.key != "" {
			found, err := id.find(r.Context(), tx)
			if err != nil {
				return err
			}
			if found != nil {
				out, replayed = *found, true
				return out.amend(r.Context(), tx, amend)
			}
		}
		answer, err := fn(r.Context(), tx)
		if err != nil {
			return err
		}
		committed = answer.Committed
		if out, err = answer.stored(w.Header(), before); err != nil {
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
	if committed != nil {
		committed(r.Context())
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

// stored returns the answer with the headers that were set since before.
func (a Answer) stored(header, before http.Header) (stored, error) {
	out := stored{status: a.Status, headers: http.Header{}}
	for name, values := range header {
		if !slices.Equal(values, before[name]) {
			out.headers[name] = values
		}
	}
	if a.Body != nil {
		var err error
		if out.body, err = json.Marshal(a.Body); err != nil {
			return stored{}, fmt.Errorf("encode the answer: %w", err)
		}
	}
	return out, nil
}

// amend completes an answer from the store.
func (s stored) amend(ctx context.Context, tx pgx.Tx, all []Amend) error {
	for _, amend := range all {
		if err := amend(ctx, tx, s.headers, s.body); err != nil {
			return err
		}
	}
	return nil
}

// restore undoes header changes for a response that is not sent.
func restore(header, before http.Header) {
	clear(header)
	maps.Copy(header, before)
}

// errInFlight is never returned to callers of this package.
var errInFlight = errors.New("the key is in use")

func problemType(name string) string { return "https://eventshop.example/problems/" + name }

// identity identifies a stored response.
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

// find locks the key until the end of the transaction and looks for a stored response; nil if there
// is none. errInFlight when another transaction has the lock.
func (id identity) find(ctx context.Context, tx pgx.Tx) (*stored, error) {
	var b pgx.Batch
	var locked bool
	b.Queue("SELECT pg_try_advisory_xact_lock($1)", id.lock()).QueryRow(func(row pgx.Row) error {
		if err := row.Scan(&locked); err != nil {
			return fmt.Errorf("lock the idempotency key: %w", err)
		}
		return nil
	})
	// A statement of its own, although it is sent with the other: under read committed it sees what
	// the previous owner of the lock committed. Without the lock what it finds means nothing.
	found := false
	var hash, headers []byte
	var s stored
	b.Queue(`
		SELECT request_hash, status, headers, body FROM idempotency_keys
		WHERE caller = $1 AND scope = $2 AND key = $3 AND created_at > now() - interval '24 hours'`,
		id.caller, id.scope, id.key).QueryRow(func(row pgx.Row) error {
		switch err := row.Scan(&hash, &s.status, &headers, &s.body); {
		case err == nil:
			found = true
		case !errors.Is(err, pgx.ErrNoRows):
			return fmt.Errorf("find the idempotency key: %w", err)
		}
		return nil
	})
	if err := tx.SendBatch(ctx, &b).Close(); err != nil {
		return nil, err
	}
	switch {
	case !locked:
		return nil, errInFlight
	case !found:
		return nil, nil
	case !slices.Equal(hash, id.hash):
		return nil, Problem{Type: problemType("idempotency-key-reused"), Title: "The key belongs to another request",
			Status: http.StatusUnprocessableEntity, Detail: "a request with this key had another body or target",
			Errors: []errs.FieldError{{Field: HeaderIdempotencyKey, Detail: "belongs to another request"}}}
	}
	if err := json.Unmarshal(headers, &s.headers); err != nil {
		return nil, fmt.Errorf("read the stored answer: %w", err)
	}
	if s.headers == nil {
		s.headers = http.Header{}
	}
	if len(s.body) == 0 {
		s.body = nil
	}
	return &s, nil
}

// store stores the response, in the place of an expired one if there is one.
func (id identity) store(ctx context.Context, tx pgx.Tx, s stored) error {
	headers, err := json.Marshal(s.headers)
	if err != nil {
		return fmt.Errorf("encode the answer's headers: %w", err)
	}
	failed := func(err error) error { return fmt.Errorf("store the answer under the idempotency key: %w", err) }
	_, err = postgres.Later(tx, failed).Exec(ctx, `
		INSERT INTO idempotency_keys AS k (caller, scope, key, request_hash, status, headers, body)
		VALUES ($1, $2, $3, $4, $5, $6, coalesce($7, ''::bytea))
		ON CONFLICT (caller, scope, key) DO UPDATE SET
			request_hash = excluded.request_hash, status = excluded.status,
			headers = excluded.headers, body = excluded.body, created_at = now()`,
		id.caller, id.scope, id.key, id.hash, s.status, headers, s.body)
	return err
}

// lock returns the number of the key's advisory lock: 64 bits of a hash. In the worst case two keys
// with the same number answer 409 while both are in flight.
func (id identity) lock() int64 {
	sum := sha256.Sum256([]byte("idempotency\x00" + id.caller + "\x00" + id.scope + "\x00" + id.key))
	return int64(binary.BigEndian.Uint64(sum[:8]))
}

// PruneIdempotencyKeys deletes the responses older than 24 hours and returns their number.
// Correctness does not depend on it.
func PruneIdempotencyKeys(ctx context.Context, pool *pgxpool.Pool) (int64, error) {
	tag, err := pool.Exec(ctx, "DELETE FROM idempotency_keys WHERE created_at <= now() - interval '24 hours'")
	if err != nil {
		return 0, postgres.Classify(fmt.Errorf("prune idempotency keys: %w", err))
	}
	return tag.RowsAffected(), nil
}

// PruneLoop returns the Run of a component that prunes now and every 15 minutes until ctx is done.
// A failure is logged, and the next round tries again.
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
