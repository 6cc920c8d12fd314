package httpapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgconn"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/httpapi"
	"eventshop.example/pkg/telemetry"
)

func TestKindsAndStatus(t *testing.T) {
	tests := map[string]struct {
		err    error
		status int
		detail string
	}{
		"invalid":             {errs.New(errs.Invalid, "totals differ"), 422, "totals differ"},
		"field":               {fmt.Errorf("place parcel: %w", errs.Field("sku", "is unknown")), 422, "place parcel: sku: is unknown"},
		"hopeless":            {errs.New(errs.Hopeless, "event too large"), 422, "event too large"},
		"not found":           {errs.New(errs.NotFound, "no parcel 7"), 404, "no parcel 7"},
		"conflict":            {errs.New(errs.Conflict, "already shipped"), 409, "already shipped"},
		"transient":           {errs.New(errs.Transient, "dial 10.0.0.7: secret"), 503, "something the service needs is not available; try again"},
		"deadline":            {context.DeadlineExceeded, 503, "something the service needs is not available; try again"},
		"network":             {&net.OpError{Op: "dial", Err: errors.New("refused")}, 503, "something the service needs is not available; try again"},
		"internal":            {errors.New("nil map: secret"), 500, "the server failed; the log has the reason"},
		"database conflict":   {errs.New(errs.Conflict, "insert: %w", &pgconn.PgError{Code: "23505", Message: "secret"}), 409, "the stored data does not allow it"},
		"with a status":       {httpapi.WithStatus(400, errs.Field("cursor", "is malformed")), 400, "cursor: is malformed"},
		"status, wrapped":     {fmt.Errorf("list: %w", httpapi.WithStatus(400, errs.New(errs.Invalid, "x"))), 400, "list: x"},
		"a problem":           {httpapi.Problem{Status: 451, Title: "No", Detail: "law"}, 451, "law"},
		"a problem, wrapped":  {fmt.Errorf("x: %w", httpapi.Problem{Status: 451, Detail: "law"}), 451, "law"},
		"a generated error":   {errs.New(errs.Internal, "a: %w", errs.New(errs.Invalid, "b")), 500, "the server failed; the log has the reason"},
		"joined field errors": {errors.Join(errs.Field("a", "x"), errs.Field("b", "y")), 422, "a: x\nb: y"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { httpapi.WriteError(w, r, tt.err) })
			w, p := send(t, h, "GET", "/parcels/7?x=1", nil)
			if p.Status != tt.status || p.Detail != tt.detail || p.Instance != "/parcels/7" {
				t.Errorf("got %+v, want status %d and detail %q", p, tt.status, tt.detail)
			}
			if strings.Contains(w.Body.String(), "secret") {
				t.Errorf("the answer tells a secret: %s", w.Body)
			}
			if retry := w.Header().Get("Retry-After"); (retry != "") != (tt.status == 503) {
				t.Errorf("Retry-After %q with status %d", retry, tt.status)
			}
			if tt.status == 422 || tt.status == 400 {
				if diff := cmp.Diff(errs.Fields(tt.err), p.Errors); diff != "" {
					t.Error(diff)
				}
			}
		})
	}
}

func TestServerErrorsAreLoggedOnce(t *testing.T) {
	logged := captureLog(t)
	h := httpapi.Correlate(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		httpapi.WriteError(w, r, errors.New("the reason"))
	}))
	send(t, h, "GET", "/", nil, "X-Correlation-Id", "corr-1")
	if got := logged(); strings.Count(got, "the reason") != 1 || !strings.Contains(got, `"correlationId":"corr-1"`) {
		t.Errorf("log: %s", got)
	}
}

// TestLinesOfARequestHaveTheSubjectInItsPath: the log names the parcel that a request is about, in
// the spelling of the database and by the name that the log uses.
func TestLinesOfARequestHaveTheSubjectInItsPath(t *testing.T) {
	logged := captureLog(t)
	api, _ := newAPI(t)
	id := "0198c1d2-0000-7000-8000-00000000000a"
	send(t, api, "GET", "/parcels/"+strings.ToUpper(id), nil)
	send(t, api, "GET", "/parcels", nil)
	lines := strings.Split(strings.TrimSpace(logged()), "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], `"parcelId":"`+id+`"`) || strings.Contains(lines[1], "parcelId") {
		t.Errorf("log: %q", lines)
	}
}

func TestClientThatLeftIsNoServerError(t *testing.T) {
	logged := captureLog(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w := httptest.NewRecorder()
	httpapi.WriteError(w, httptest.NewRequestWithContext(ctx, "GET", "/", nil), context.Canceled)
	if w.Code != 499 || strings.Contains(logged(), "ERROR") {
		t.Errorf("status %d, log %s", w.Code, logged())
	}
}

func TestPanicIsA500AndLogged(t *testing.T) {
	logged := captureLog(t)
	api, _ := newAPI(t)
	w, p := send(t, api, "GET", "/stock/A-1", nil)
	if p.Status != 500 || strings.Contains(w.Body.String(), "secret") {
		t.Errorf("answer %s", w.Body)
	}
	if got := logged(); !strings.Contains(got, "boom: secret") || !strings.Contains(got, "fixture_test.go") || !strings.Contains(got, `"status":500`) {
		t.Errorf("log: %s", got)
	}
}

func TestPanicAfterTheAnswerBeganCutsIt(t *testing.T) {
	h := httpapi.Recover(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Write([]byte("half"))
		panic("boom")
	}))
	defer func() {
		if p := recover(); p != http.ErrAbortHandler { //nolint:errorlint // net/http compares it so
			t.Errorf("panic %v, want net/http's abort", p)
		}
	}()
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
	t.Error("the answer was not cut")
}

func TestCorrelation(t *testing.T) {
	api, _ := newAPI(t)
	const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	for name, tt := range map[string]struct {
		correlation, parent string
		keepID, keepTrace   bool
	}{
		"given":         {"corr-1", parent, true, true},
		"missing":       {"", "", false, false},
		"bad":           {"a\x7fb", strings.ToUpper(parent), false, false},
		"too long":      {strings.Repeat("x", 256), parent + "-x", false, false},
		"longest":       {strings.Repeat("x", 255), parent, true, true},
		"space at ends": {" x", parent, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			w, _ := send(t, api, "GET", "/parcels", nil, "X-Correlation-Id", tt.correlation, "Traceparent", tt.parent)
			var seen map[string]string
			if err := json.Unmarshal(w.Body.Bytes(), &seen); err != nil {
				t.Fatal(err)
			}
			if got := w.Header().Get("X-Correlation-Id"); got != seen["correlation"] || got == "" || (got == tt.correlation) != tt.keepID {
				t.Errorf("answered %q, handler saw %q, given %q", got, seen["correlation"], tt.correlation)
			}
			got := w.Header().Get("Traceparent")
			if got != seen["traceparent"] || !telemetry.ValidTraceParent(got) || got == tt.parent {
				t.Errorf("answered %q, handler saw %q", got, seen["traceparent"])
			}
			if same := telemetry.TraceID(got) == telemetry.TraceID(parent); same != tt.keepTrace {
				t.Errorf("trace %q for the given %q", got, tt.parent)
			}
		})
	}
}

// TestTraceHeadersInPlenty: two traceparents count as none, and several tracestates are one list,
// as W3C Trace Context requires.
func TestTraceHeadersInPlenty(t *testing.T) {
	api, _ := newAPI(t)
	const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"
	for _, tt := range []struct {
		parents []string
		keep    bool
		state   string
	}{
		{[]string{parent}, true, "a=1,b=2"},
		{[]string{parent, parent}, false, ""},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/parcels", nil)
		r.Header["Traceparent"], r.Header["Tracestate"] = tt.parents, []string{"a=1", "b=2"}
		w := httptest.NewRecorder()
		api.ServeHTTP(w, r)
		var seen map[string]string
		if err := json.Unmarshal(w.Body.Bytes(), &seen); err != nil {
			t.Fatal(err)
		}
		got := seen["traceparent"]
		if kept := telemetry.TraceID(got) == telemetry.TraceID(parent); kept != tt.keep || !telemetry.ValidTraceParent(got) || seen["tracestate"] != tt.state {
			t.Errorf("%q go on as %q with %q", tt.parents, got, seen["tracestate"])
		}
		if tt.keep && (got[36:52] == parent[36:52] || got[53:] != "00") {
			t.Errorf("%s is no child of %s", got, parent)
		}
	}
}

func TestRequestsAreMeasuredByRoute(t *testing.T) {
	api, reg := newAPI(t)
	send(t, api, "GET", "/parcels/0193a3a0-0000-7000-8000-000000000000", nil)
	send(t, api, "GET", "/parcels/42", nil)
	send(t, api, "GET", "/no/such/path", nil)
	send(t, api, "BREW", "/parcels", nil)
	send(t, api, "GET", "/stock/A-1", nil)
	send(t, api, "GET", "/openapi.json", nil)
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]uint64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetValue())
			}
			got[f.GetName()+" "+strings.Join(labels, " ")] = m.GetHistogram().GetSampleCount()
		}
	}
	want := map[string]uint64{
		"http_request_duration_seconds GET /parcels/{parcelId} 404": 1,
		"http_request_duration_seconds GET /parcels/{parcelId} 400": 1,
		"http_request_duration_seconds GET unmatched 404":           1,
		"http_request_duration_seconds other unmatched 405":         1,
		"http_request_duration_seconds GET /stock/{sku} 500":        1,
		"http_request_duration_seconds GET /openapi.json 200":       1,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestSpecIsServed(t *testing.T) {
	api, _ := newAPI(t)
	w, _ := send(t, api, "GET", "/openapi.json", nil)
	if _, err := httpapi.LoadSpec(w.Body.Bytes()); w.Code != 200 || err != nil {
		t.Errorf("%d, %v: %.100s", w.Code, err, w.Body)
	}
	if _, p := send(t, api, "POST", "/openapi.json", strings.NewReader("{}")); p.Status != 404 {
		t.Errorf("POST: %+v", p)
	}
}

func TestGate(t *testing.T) {
	open := false
	h := httpapi.Gate(func() bool { return open }, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		httpapi.WriteJSON(w, http.StatusOK, "in")
	}))
	if w, p := send(t, h, "GET", "/", nil); p.Status != 503 || w.Header().Get("Retry-After") == "" {
		t.Errorf("closed: %+v", p)
	}
	open = true
	if w, _ := send(t, h, "GET", "/", nil); w.Code != 200 {
		t.Errorf("open: %d", w.Code)
	}
}

// InvalidParamFormatError has the shape of the errors in generated chi servers.
type InvalidParamFormatError struct {
	ParamName string
	Err       error
}

func (e *InvalidParamFormatError) Error() string {
	return "Invalid format for parameter " + e.ParamName
}
func (e *InvalidParamFormatError) Unwrap() error { return e.Err }

func TestBadParameterNamesIt(t *testing.T) {
	for err, field := range map[error]string{
		&InvalidParamFormatError{"limit", errors.New("is no number")}: "limit",
		errors.New("is no number"):                                    "",
	} {
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { httpapi.BadParameter(w, r, err) })
		_, p := send(t, h, "GET", "/", nil)
		wantField(t, p, 400, field, "is no number")
	}
}

func TestWriteJSONReportsWhatCannotBeEncoded(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { httpapi.WriteJSON(w, 200, make(chan int)) })
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	if w.Code != 500 || !json.Valid(w.Body.Bytes()) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
