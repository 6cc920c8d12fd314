// Package wire reads and writes the JSON bodies of the sandbox servers.
//
// A body is at most 1 MiB, one JSON value, without unknown members; anything else is
// a 400 with {"code":"bad_request","detail":…}. The servers stand in for companies
// outside the shop, so their errors are in this form and not problem documents.
package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
)

const maxBody = 1 << 20

// IdempotencyKey is the request header that names an operation once and for all.
const IdempotencyKey = "Idempotency-Key"

// maxKey bounds what one caller can make the ledger keep per entry.
const maxKey = 255

// Answer is one HTTP answer, decided but not sent.
type Answer struct {
	Status int
	Body   any
}

// Refusal is the body of every answer that is not a success.
type Refusal struct {
	Code   string `json:"code"`
	Detail string `json:"detail,omitempty"`
}

// Refuse builds an answer with a Refusal in it.
func Refuse(status int, code, format string, args ...any) Answer {
	return Answer{Status: status, Body: Refusal{Code: code, Detail: fmt.Sprintf(format, args...)}}
}

// Send writes the answer as JSON.
func Send(w http.ResponseWriter, a Answer) {
	body, err := json.Marshal(a.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(a.Status)
	// The client may be gone by now; it will ask again by key.
	_, _ = w.Write(append(body, '\n'))
}

// Read decodes the request's body into v; when it cannot, it has answered 400 and
// returns false.
func Read(w http.ResponseWriter, r *http.Request, v any) bool {
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(v)
	if err == nil {
		if _, more := decoder.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("data after the JSON value")
		}
	}
	if err != nil {
		Send(w, Refuse(http.StatusBadRequest, "bad_request", "read body: %v", err))
		return false
	}
	return true
}

// ReadOptional is Read for a body that may be absent.
func ReadOptional(w http.ResponseWriter, r *http.Request, v any) bool {
	return r.ContentLength == 0 || Read(w, r, v)
}

// Key returns the request's idempotency key; without one it has answered 400 and
// returns false.
func Key(w http.ResponseWriter, r *http.Request) (string, bool) {
	key := r.Header.Get(IdempotencyKey)
	if key == "" || len(key) > maxKey {
		Send(w, Refuse(http.StatusBadRequest, "idempotency_key_required",
			"header %s must hold 1 to %d bytes", IdempotencyKey, maxKey))
		return "", false
	}
	return key, true
}

// Page reads the query parameters after (a sequence number, default 0) and limit; when
// they are no numbers in range it has answered 400 and returns false.
func Page(w http.ResponseWriter, r *http.Request, standard, most int) (after int64, limit int, ok bool) {
	limit = standard
	var err error
	if raw := r.URL.Query().Get("after"); raw != "" {
		after, err = strconv.ParseInt(raw, 10, 64)
	}
	if raw := r.URL.Query().Get("limit"); raw != "" && err == nil {
		limit, err = strconv.Atoi(raw)
	}
	if err != nil || after < 0 || limit < 1 || limit > most {
		Send(w, Refuse(http.StatusBadRequest, "bad_request", "after must be 0 or more, limit 1 to %d", most))
		return 0, 0, false
	}
	return after, limit, true
}
