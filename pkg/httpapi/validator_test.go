package httpapi_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"

	"eventshop.example/pkg/httpapi"
)

func TestGoodRequestsReachTheHandler(t *testing.T) {
	api, _ := newAPI(t)
	for name, contentType := range map[string]string{
		"plain": "application/json", "charset": "application/json; charset=UTF-8", "upper case": "Application/JSON",
	} {
		w, _ := send(t, api, "POST", "/parcels", strings.NewReader(goodOrder), "Content-Type", contentType)
		if w.Code != http.StatusCreated || w.Body.String() != goodOrder {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	for _, target := range []string{"/parcels", "/parcels?status=PENDING&limit=100", "/parcels?tag=a&tag=b", "/parcels?customerId=%C3%BC"} {
		if w, _ := send(t, api, "GET", target, nil); w.Code != http.StatusOK {
			t.Errorf("%s: %d %s", target, w.Code, w.Body)
		}
	}
}

func TestDigitsSurvive(t *testing.T) {
	api, _ := newAPI(t)
	body := strings.Replace(goodOrder, "59.98", "12345678901234567890.123456789", 1)
	body = strings.Replace(body, `"quantity":2`, `"quantity":9007199254740993`, 1)
	w, _ := send(t, api, "POST", "/parcels", strings.NewReader(body))
	if w.Code != http.StatusCreated || w.Body.String() != body {
		t.Errorf("%d %s, want the same digits as in %s", w.Code, w.Body, body)
	}
}

func TestBadBodies(t *testing.T) {
	api, _ := newAPI(t)
	with := func(old, new string) string { return strings.Replace(goodOrder, old, new, 1) }
	tests := map[string]struct {
		body          string
		status        int
		field, detail string
	}{
		"empty":                   {"", 400, "", "body is required"},
		"no JSON":                 {"quantity=1", 400, "", "not valid JSON"},
		"trailing data":           {goodOrder + "x", 400, "", "more data"},
		"duplicate":               {with(`"quantity":2`, `"quantity":2,"quantity":3`), 400, "items[0].quantity", "more than once"},
		"NUL":                     {with("A-1", `\u0000`), 400, "items[0].sku", "NUL"},
		"invalid UTF-8":           {with("A-1", "\xff"), 400, "items[0].sku", "UTF-8"},
		"too deep":                {with("59.98", strings.Repeat("[", 99)+strings.Repeat("]", 99)), 400, "totalAmount" + strings.Repeat("[0]", 63), "deeper"},
		"an array":                {`[]`, 422, "", "must be an object"},
		"null":                    {`null`, 422, "", "must not be null"},
		"missing":                 {with(`"totalAmount":59.98,`, ""), 422, "totalAmount", "is required"},
		"missing, nested":         {with(`"sku":"A-1",`, ""), 422, "items[0].sku", "is required"},
		"unknown":                 {with(`"email"`, `"colour":"red","email"`), 422, "colour", "is unknown"},
		"unknown, nested":         {with(`"sku"`, `"price":1,"sku"`), 422, "items[0].price", "is unknown"},
		"unknown with quotes":     {with(`"email"`, `"a\"b":1,"email"`), 422, `a"b`, "is unknown"},
		"other case is unknown":   {with(`"quantity":2`, `"quantity":2,"Quantity":3`), 422, "items[0].Quantity", "is unknown"},
		"wrong type":              {with(`"A-1"`, `7`), 422, "items[0].sku", "must be a string"},
		"number in quotes":        {with("59.98", `"59.98"`), 422, "totalAmount", "must be a number"},
		"null field":              {with("59.98", "null"), 422, "totalAmount", "must not be null"},
		"zero":                    {with(`"quantity":2`, `"quantity":0`), 422, "items[0].quantity", "must be at least 1"},
		"minus one":               {with(`"quantity":2`, `"quantity":-1`), 422, "items[0].quantity", "must be at least 1"},
		"fraction":                {with(`"quantity":2`, `"quantity":1.5`), 422, "items[0].quantity", "must be an integer"},
		"a fraction of a zero":    {with(`"quantity":2`, `"quantity":2.0`), 422, "items[0].quantity", "must be an integer"},
		"exponent":                {with(`"quantity":2`, `"quantity":1e2`), 422, "items[0].quantity", "must be an integer"},
		"2^63":                    {with(`"quantity":2`, `"quantity":9223372036854775808`), 422, "items[0].quantity", "range"},
		"2^64":                    {with(`"quantity":2`, `"quantity":18446744073709551616`), 422, "items[0].quantity", "range"},
		"2^31 in an int32":        {with(`"quantity":2`, `"quantity":2,"batch":2147483648`), 422, "items[0].batch", "range"},
		"1e400 in an integer":     {with(`"quantity":2`, `"quantity":1e400`), 422, "items[0].quantity", "out of range"},
		"1e400 in an amount":      {with("59.98", "1e400"), 422, "totalAmount", "out of range"},
		"almost an integer":       {with(`"quantity":2`, `"quantity":2.00000000000000000001`), 422, "items[0].quantity", "must be an integer"},
		"not an address":          {with("a@example.com", "a.example.com"), 422, "email", "must be an e-mail address"},
		"too long":                {with("a@", strings.Repeat("a", 100)+"@"), 422, "email", "at most 100 characters"},
		"empty text":              {with(`"email"`, `"note":"","email"`), 422, "note", "must not be empty"},
		"pattern":                 {with("A-1", "a 1"), 422, "items[0].sku", "must match"},
		"no elements":             {with(`{"sku":"A-1","quantity":2}`, ""), 422, "items", "at least 1 elements"},
		"too many elements":       {with(`{"sku":"A-1","quantity":2}`, strings.Repeat(`{"sku":"A","quantity":1},`, 50)+`{"sku":"A","quantity":1}`), 422, "items", "at most 50"},
		"second element is named": {with(`]`, `,{"sku":"B","quantity":0}]`), 422, "items[1].quantity", "at least 1"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, p := send(t, api, "POST", "/parcels", strings.NewReader(tt.body))
			wantField(t, p, tt.status, tt.field, tt.detail)
		})
	}
}

func TestAllFieldsAreNamedUpToALimit(t *testing.T) {
	api, _ := newAPI(t)
	_, p := send(t, api, "POST", "/parcels", strings.NewReader(`{"items":[{"sku":"A","quantity":0}],"x":1}`))
	for field, detail := range map[string]string{
		"email": "required", "totalAmount": "required", "items[0].quantity": "at least", "x": "unknown",
	} {
		wantField(t, p, 422, field, detail)
	}
	many := `{"items":[` + strings.Repeat(`{},`, 1000) + `{}]}`
	if _, p = send(t, api, "POST", "/parcels", strings.NewReader(many)); p.Status != 422 || len(p.Errors) != 20 {
		t.Errorf("status %d with %d field errors, want 422 with 20", p.Status, len(p.Errors))
	}
	large := strings.Replace(many, "{},", strings.Repeat("{},", 30_000), 1)
	if _, p = send(t, api, "POST", "/parcels", strings.NewReader(large)); p.Status != 422 || len(p.Errors) != 1 {
		t.Errorf("status %d with %d field errors of a large body, want 422 with 1", p.Status, len(p.Errors))
	}
}

func TestContentTypes(t *testing.T) {
	api, _ := newAPI(t)
	for _, contentType := range []string{
		"", "text/plain", "application/x-www-form-urlencoded", "application/jsonx", "application/problem+json",
		"application/json; charset=latin1", "application/json; charset", "application/xml, application/json", ";",
	} {
		_, p := send(t, api, "POST", "/parcels", strings.NewReader(goodOrder), "Content-Type", contentType)
		wantField(t, p, http.StatusUnsupportedMediaType, "Content-Type", "must")
	}
}

func TestBodySize(t *testing.T) {
	api, _ := newAPI(t)
	server := httptest.NewServer(api)
	t.Cleanup(server.Close)
	pad := func(n int) string { return goodOrder + strings.Repeat(" ", n-len(goodOrder)) }
	for name, tt := range map[string]struct {
		target string
		body   io.Reader
		want   int
	}{
		"the limit":            {"/parcels", strings.NewReader(pad(httpapi.MaxBody)), 201},
		"one above":            {"/parcels", strings.NewReader(pad(httpapi.MaxBody + 1)), 413},
		"2 MiB":                {"/parcels", strings.NewReader(pad(2 << 20)), 413},
		"chunked, the limit":   {"/parcels", io.MultiReader(strings.NewReader(pad(httpapi.MaxBody))), 201},
		"chunked, 2 MiB":       {"/parcels", io.MultiReader(strings.NewReader(pad(2 << 20))), 413},
		"where none is known":  {"/parcels/0193a3a0-0000-7000-8000-000000000000/cancel?reason=x", strings.NewReader(pad(2 << 20)), 413},
		"small, none is known": {"/parcels/0193a3a0-0000-7000-8000-000000000000/cancel?reason=x", strings.NewReader("{}"), 400},
	} {
		t.Run(name, func(t *testing.T) {
			res, err := server.Client().Post(server.URL+tt.target, "application/json", tt.body)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			var p httpapi.Problem
			if err := json.NewDecoder(res.Body).Decode(&p); err != nil {
				t.Fatal(err)
			}
			if res.StatusCode != tt.want {
				t.Errorf("status %d, want %d: %+v", res.StatusCode, tt.want, p)
			}
		})
	}
}

func TestBadParameters(t *testing.T) {
	api, _ := newAPI(t)
	id := "0193a3a0-0000-7000-8000-000000000000"
	for target, want := range map[string]struct{ field, detail string }{
		"/parcels/42":                         {"parcelId", "must be a UUID"},
		"/parcels/" + id[:35]:                 {"parcelId", "must be a UUID"},
		"/parcels/%00":                        {"parcelId", "NUL"},
		"/stock/%ff":                          {"sku", "UTF-8"},
		"/stock/a%2Fb%00":                     {"sku", "NUL"},
		"/parcels?status=NEW":                 {"status", "allowed values"},
		"/parcels?limit=0":                    {"limit", "at least 1"},
		"/parcels?limit=101":                  {"limit", "at most 100"},
		"/parcels?limit=ten":                  {"limit", "must be of type integer"},
		"/parcels?limit=1.5":                  {"limit", "integer"},
		"/parcels?limit=1e400":                {"limit", ""},
		"/parcels?limit=99999999999999999999": {"limit", ""},
		"/parcels?limit=1&limit=2":            {"limit", "more than once"},
		"/parcels?limit=":                     {"limit", ""},
		"/parcels?stauts=PENDING":             {"stauts", "no parameter"},
		"/parcels?customerId=%00":             {"customerId", "NUL"},
		"/parcels?customerId=%ff":             {"customerId", "UTF-8"},
		"/parcels?tag=a&tag=%00":              {"tag", "NUL"},
		"/parcels?limit=%zz":                  {"", "query is malformed"},
		"/parcels?limit=1;status=PENDING":     {"", "query is malformed"},
	} {
		t.Run(target, func(t *testing.T) {
			_, p := send(t, api, "GET", target, nil)
			wantField(t, p, 400, want.field, want.detail)
		})
	}
	_, p := send(t, api, "GET", "/parcels", nil, "X-Shard", "one")
	wantField(t, p, 400, "X-Shard", "must be of type integer")
	_, p = send(t, api, "POST", "/parcels/"+id+"/cancel", nil)
	wantField(t, p, 400, "reason", "is required")
}

func TestUnknownPathsAndMethods(t *testing.T) {
	api, _ := newAPI(t)
	for _, target := range []string{"/", "/parcel", "/parcels/", "/parcels/a/b", "/parcels/1/cancel/2", "/metrics"} {
		if _, p := send(t, api, "GET", target, nil); p.Status != http.StatusNotFound {
			t.Errorf("GET %s: %+v, want 404", target, p)
		}
	}
	for target, allow := range map[string]string{"/parcels": "GET, POST", "/parcels/x": "GET", "/parcels/x/cancel": "POST"} {
		for _, method := range []string{"DELETE", "PATCH", "BREW"} {
			w, p := send(t, api, method, target, nil)
			if p.Status != http.StatusMethodNotAllowed || w.Header().Get("Allow") != allow {
				t.Errorf("%s %s: %d, Allow %q, want 405 with %q", method, target, p.Status, w.Header().Get("Allow"), allow)
			}
		}
	}
}

// TestNoInputIsAServerError sends almost valid requests through the whole chain.
func TestNoInputIsAServerError(t *testing.T) {
	api, _ := newAPI(t)
	rapid.Check(t, func(rt *rapid.T) {
		body := []byte(goodOrder)
		for range rapid.IntRange(1, 4).Draw(rt, "edits") {
			at := rapid.IntRange(0, len(body)-1).Draw(rt, "at")
			piece := rapid.SampledFrom([]string{"", "\x00", "\xff", `"`, "{", "]", "1e999", "-", "9999999999999999999", `\ud800`, `"a":1,`, "null", ",", ":"}).Draw(rt, "piece")
			cut := rapid.IntRange(0, min(6, len(body)-at)).Draw(rt, "cut")
			body = []byte(string(body[:at]) + piece + string(body[at+cut:]))
			if len(body) == 0 {
				break
			}
		}
		w, _ := send(t, api, "POST", "/parcels", strings.NewReader(string(body)))
		if w.Code != 201 && (w.Code < 400 || w.Code >= 500) {
			rt.Fatalf("%q: status %d: %s", body, w.Code, w.Body)
		}
	})
}

func TestLoadSpecRefuses(t *testing.T) {
	open := strings.Replace(document, "additionalProperties: false\n            required: [sku", "required: [sku", 1)
	for name, tt := range map[string]struct{ doc, why string }{
		"no document":     {"hello", "OpenAPI document"},
		"not valid":       {"openapi: 3.0.3\ninfo: { title: x, version: '1' }\npaths: { /a: { get: {} } }", "OpenAPI document"},
		"other version":   {strings.Replace(document, "3.0.3", "3.1.0", 1), "only 3.0"},
		"an open object":  {open, "POST /parcels items[]: an object without additionalProperties: false"},
		"a body not JSON": {strings.Replace(document, "application/json", "text/csv", 1), "must be application/json"},
	} {
		if _, err := httpapi.LoadSpec([]byte(tt.doc)); err == nil || !strings.Contains(err.Error(), tt.why) {
			t.Errorf("%s: error %v, want one with %q", name, err, tt.why)
		}
	}
}

func TestDecodeWithoutValidator(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for range 2 { // the body can be read again
			if _, err := httpapi.Decode[parcel](r); err != nil {
				httpapi.WriteError(w, r, err)
				return
			}
		}
		fmt.Fprint(w, "ok")
	})
	if w, _ := send(t, h, "POST", "/", strings.NewReader(goodOrder)); w.Body.String() != "ok" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	for body, want := range map[string]struct {
		status        int
		field, detail string
	}{
		"":                                    {400, "", "required"},
		`{"a":1,"a":2}`:                       {400, "a", "more than once"},
		`{"colour":1}`:                        {422, "colour", "is unknown"},
		`{"email":7}`:                         {422, "email", "must be string"},
		`{"items":[{"quantity":1.5}]}`:        {422, "items[0].quantity", "must be an integer"},
		`{"items":[{},{"batch":2147483648}]}`: {422, "items[1].batch", "must be an integer"},
	} {
		_, p := send(t, h, "POST", "/", strings.NewReader(body))
		wantField(t, p, want.status, want.field, want.detail)
	}
}

// TestABodyThatStoppedComing: a server that stops waiting for the rest of a body does not call the
// request invalid, and a client may send it again unchanged.
func TestABodyThatStoppedComing(t *testing.T) {
	api, _ := newAPI(t)
	for name, tt := range map[string]struct {
		err    error
		status int
		detail string
	}{
		"not in time": {os.ErrDeadlineExceeded, http.StatusRequestTimeout, "did not arrive in time"},
		"cut":         {io.ErrUnexpectedEOF, http.StatusBadRequest, "cannot be read"},
	} {
		body := io.MultiReader(strings.NewReader(goodOrder[:10]), iotest.ErrReader(fmt.Errorf("read tcp: %w", tt.err)))
		w, p := send(t, api, "POST", "/parcels", body)
		if w.Code != tt.status || p.Status != tt.status || !strings.Contains(p.Detail, tt.detail) {
			t.Errorf("%s: %d %s, want %d and %q", name, w.Code, w.Body, tt.status, tt.detail)
		}
	}
}
