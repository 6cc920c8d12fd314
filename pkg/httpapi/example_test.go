package httpapi_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/httpapi"
	"eventshop.example/pkg/pgtest"
)

// A client that did not get its answer posts again with the same key. The parcel is accepted once,
// and both answers are the same.
func ExampleIdempotent() {
	ctx := context.Background()
	pool, drop, err := pgtest.ExampleDB(ctx, httpapi.IdempotencyComponent())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer drop()
	if _, err := pool.Exec(ctx, `CREATE TABLE parcels (id int GENERATED ALWAYS AS IDENTITY)`); err != nil {
		fmt.Println(err)
		return
	}
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		httpapi.Idempotent(w, r, pool, "POST /parcels", func(ctx context.Context, tx pgx.Tx) (httpapi.Answer, error) {
			var id int
			err := tx.QueryRow(ctx, `INSERT INTO parcels DEFAULT VALUES RETURNING id`).Scan(&id)
			return httpapi.Answer{Status: http.StatusCreated, Body: map[string]int{"parcel": id}}, err
		})
	})
	post := func(key, body string) {
		r := httptest.NewRequest(http.MethodPost, "/parcels", strings.NewReader(body))
		r.Header.Set("Idempotency-Key", key)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		fmt.Println(w.Code, w.Header().Get(httpapi.HeaderReplayed), w.Header().Get("Content-Type"))
		if w.Code == http.StatusCreated {
			fmt.Println(w.Body)
		}
	}

	post("k-1", `{"size":"S"}`)
	post("k-1", `{"size":"S"}`)
	post("k-1", `{"size":"L"}`) // another request under a used key
	post("k-2", `{"size":"S"}`)
	// Output:
	// 201  application/json
	// {"parcel":1}
	// 201 true application/json
	// {"parcel":1}
	// 422  application/problem+json
	// 201  application/json
	// {"parcel":2}
}

// Handlers return errors with a kind. WriteError turns the kind into a status and the error into a
// problem document (RFC 9457); the text of a fault of the server stays in the log.
func ExampleWriteError() {
	for _, err := range []error{
		errs.New(errs.NotFound, "there is no parcel p-1"),
		errs.Field("size", "is unknown"),
		errs.New(errs.Transient, "dial tcp 10.0.0.7: connection refused"),
	} {
		w := httptest.NewRecorder()
		httpapi.WriteError(w, httptest.NewRequest(http.MethodGet, "/parcels/p-1", nil), err)
		fmt.Println(w.Body)
	}
	// Output:
	// {"type":"about:blank","title":"Not Found","status":404,"detail":"there is no parcel p-1","instance":"/parcels/p-1"}
	// {"type":"about:blank","title":"Unprocessable Entity","status":422,"detail":"size: is unknown","instance":"/parcels/p-1","errors":[{"field":"size","detail":"is unknown"}]}
	// {"type":"about:blank","title":"Service Unavailable","status":503,"detail":"something the service needs is not available; try again","instance":"/parcels/p-1"}
}
