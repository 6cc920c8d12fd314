package httpapi_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/prometheus/client_golang/prometheus"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/httpapi"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/telemetry"
)

// TestMain keeps the log records of some thousand requests out of the output.
func TestMain(m *testing.M) {
	if err := pgtest.SkipExamples(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	slog.SetDefault(slog.New(slog.DiscardHandler))
	os.Exit(m.Run())
}

// document has the shapes of the services' documents.
const document = `
openapi: 3.0.3
info: { title: test, version: "1" }
paths:
  /parcels:
    post:
      operationId: placeParcel
      requestBody:
        required: true
        content:
          application/json:
            schema: { $ref: "#/components/schemas/Parcel" }
      responses: { "201": { description: placed } }
    get:
      operationId: listParcels
      parameters:
        - { name: status, in: query, schema: { type: string, enum: [PENDING, CONFIRMED] } }
        - { name: limit, in: query, schema: { type: integer, format: int32, minimum: 1, maximum: 100 } }
        - { name: tag, in: query, schema: { type: array, items: { type: string } } }
        - { name: customerId, in: query, schema: { type: string } }
        - { name: X-Shard, in: header, schema: { type: integer } }
      responses: { "200": { description: list } }
  /parcels/{parcelId}:
    parameters:
      - { name: parcelId, in: path, required: true, schema: { type: string, format: uuid } }
    get:
      operationId: getParcel
      responses: { "200": { description: one } }
  /parcels/{parcelId}/cancel:
    post:
      operationId: cancelParcel
      parameters:
        - { name: parcelId, in: path, required: true, schema: { type: string, format: uuid } }
        - { name: reason, in: query, required: true, schema: { type: string, minLength: 1 } }
      responses: { "202": { description: cancelling } }
  /stock/{sku}:
    get:
      operationId: getStock
      parameters:
        - { name: sku, in: path, required: true, schema: { type: string } }
      responses: { "200": { description: one } }
components:
  schemas:
    Parcel:
      type: object
      additionalProperties: false
      required: [email, items, totalAmount]
      properties:
        email: { type: string, format: email, maxLength: 100 }
        note: { type: string, minLength: 1, nullable: true }
        totalAmount: { type: number, minimum: 0 }
        items:
          type: array
          minItems: 1
          maxItems: 50
          items:
            type: object
            additionalProperties: false
            required: [sku, quantity]
            properties:
              sku: { type: string, pattern: "^[A-Z0-9-]+$" }
              quantity: { type: integer, format: int64, minimum: 1 }
              batch: { type: integer, format: int32 }
`

// parcel has the form of a generated model for the document.
type parcel struct {
	Email       string      `json:"email"`
	Note        *string     `json:"note,omitempty"`
	TotalAmount json.Number `json:"totalAmount"`
	Items       []struct {
		SKU      string `json:"sku"`
		Quantity int64  `json:"quantity"`
		Batch    *int32 `json:"batch,omitempty"`
	} `json:"items"`
}

const goodOrder = `{"email":"a@example.com","totalAmount":59.98,"items":[{"sku":"A-1","quantity":2}]}`

func loadSpec(t *testing.T) *openapi3.T {
	t.Helper()
	spec, err := httpapi.LoadSpec([]byte(document))
	if err != nil {
		t.Fatal(err)
	}
	return spec
}

// newAPI serves the document with handlers that echo their input.
func newAPI(t *testing.T) (http.Handler, *prometheus.Registry) {
	t.Helper()
	reg := prometheus.NewRegistry()
	r, err := httpapi.NewRouter(loadSpec(t), reg, httpapi.WithSubject("parcelId"))
	if err != nil {
		t.Fatal(err)
	}
	r.Post("/parcels", func(w http.ResponseWriter, r *http.Request) {
		o, err := httpapi.Decode[parcel](r)
		if err != nil {
			httpapi.WriteError(w, r, err)
			return
		}
		httpapi.WriteJSON(w, http.StatusCreated, o)
	})
	r.Get("/parcels", func(w http.ResponseWriter, r *http.Request) {
		parent, state := telemetry.Trace(r.Context())
		httpapi.WriteJSON(w, http.StatusOK, map[string]string{
			"correlation": telemetry.FromContext(r.Context()).CorrelationID, "traceparent": parent, "tracestate": state,
		})
	})
	r.Get("/parcels/{parcelId}", func(w http.ResponseWriter, r *http.Request) {
		httpapi.WriteError(w, r, errs.New(errs.NotFound, "no such parcel"))
	})
	r.Get("/stock/{sku}", func(w http.ResponseWriter, r *http.Request) { panic(errors.New("boom: secret")) })
	return r, reg
}

// send sends one request and reads the response; it decodes a problem.
func send(t *testing.T, h http.Handler, method, target string, body io.Reader, header ...string) (*httptest.ResponseRecorder, httpapi.Problem) {
	t.Helper()
	req := httptest.NewRequest(method, target, body)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, req)
	var p httpapi.Problem
	if w.Code >= 400 {
		if got := w.Header().Get("Content-Type"); got != "application/problem+json" {
			t.Errorf("content type %q of an error", got)
		}
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
			t.Fatalf("no problem document: %v: %s", err, w.Body)
		}
		if p.Status != w.Code || p.Title == "" || p.Type == "" || p.Instance == "" {
			t.Errorf("incomplete problem for status %d: %+v", w.Code, p)
		}
	}
	return w, p
}

// wantField fails unless the problem has the status and an error about the field.
func wantField(t *testing.T, p httpapi.Problem, status int, field, detail string) {
	t.Helper()
	if p.Status != status {
		t.Errorf("status %d, want %d: %+v", p.Status, status, p)
	}
	for _, e := range p.Errors {
		if e.Field == field && strings.Contains(e.Detail, detail) {
			return
		}
	}
	t.Errorf("no error about %q with %q in %+v", field, detail, p.Errors)
}

// captureLog makes a logger of this test the default one, so the test must not be parallel.
func captureLog(t *testing.T) func() string {
	t.Helper()
	var mu sync.Mutex
	var buf bytes.Buffer
	old := slog.Default()
	slog.SetDefault(telemetry.NewLogger(writer(func(b []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		return buf.Write(b)
	}), "test", "parcelId", slog.LevelDebug))
	t.Cleanup(func() { slog.SetDefault(old) })
	return func() string {
		mu.Lock()
		defer mu.Unlock()
		return buf.String()
	}
}

type writer func([]byte) (int, error)

func (w writer) Write(b []byte) (int, error) { return w(b) }
