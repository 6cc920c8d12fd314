package schema_test

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/event/sample"
	"eventshop.example/pkg/schema"
)

// codecWith returns a codec with the given grace period.
func (r *registry) codecWith(grace time.Duration) *schema.Codec {
	return schema.New(schema.Config{Types: sample.Catalogue(), Client: schema.NewClient(r.URL, schema.WithTimeout(patience)), Grace: grace, Patience: patience})
}

// decideSoon decodes, as a consumer does, until the result is no longer that Decode waits for the
// registry.
func decideSoon(t *testing.T, c *schema.Codec, typ event.Type, b []byte) (event.Event, error) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		e, err := c.Decode(t.Context(), typ, b)
		w, waits := errors.AsType[*schema.Waiting](err)
		if !waits {
			return e, err
		}
		if time.Now().After(deadline) {
			t.Fatalf("still undecided: %v", err)
		}
		pause(w)
	}
}

// pause waits until the state of a waiting value can have changed.
func pause(w *schema.Waiting) {
	timer := time.NewTimer(w.RetryAfter())
	defer timer.Stop()
	select {
	case <-w.News():
	case <-timer.C:
	}
}

// waitsUntil decodes a value until told accepts the error. Decode must wait for the registry
// meanwhile.
func waitsUntil(t *testing.T, c *schema.Codec, b []byte, reported func(error) bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; {
		_, err := c.Decode(t.Context(), placed, b)
		w, waits := errors.AsType[*schema.Waiting](err)
		if !waits || errs.KindOf(err) != errs.Transient {
			t.Fatalf("Decode = %v of kind %v", err, errs.KindOf(err))
		}
		if time.Now().After(deadline) {
			t.Fatalf("still: %v", err)
		}
		pause(w)
		if reported(err) {
			return
		}
	}
}

// valueOf returns a ParcelNoted in wire format with the given schema id.
func valueOf(id int) []byte {
	b := binary.BigEndian.AppendUint32([]byte{0}, uint32(id))
	return append(b, 2, 'o', 2)
}

var placed = sample.TypeOf[sample.ParcelNoted]()

// denying answers lookups of the ids with "no such schema".
func denying(ids ...int) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, req *http.Request) bool {
		for _, id := range ids {
			if req.URL.Path == fmt.Sprintf("/schemas/ids/%d", id) {
				refuse(w, 404, 40403, "no such schema")
				return true
			}
		}
		return false
	}
}

func TestAnIDDeniedForAMomentIsNobodysFault(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	if err := r.codec().Register(t.Context(), placed); err != nil {
		t.Fatal(err)
	}
	c := r.codecWith(time.Minute)
	r.breakWith(denying(1))
	_, err := c.Decode(t.Context(), placed, valueOf(1))
	wantKind(t, err, errs.Transient, "no such schema")
	if w, ok := errors.AsType[*schema.Waiting](err); !ok || w.RegistryDown() {
		t.Errorf("a registry that works and was asked about an unknown id is down: %v", err)
	}
	r.breakWith(nil)
	if e, err := decideSoon(t, c, placed, valueOf(1)); err != nil || e.AggregateKey() != "o" {
		t.Errorf("Decode = %v, %v", e, err)
	}
}

func TestAThousandUnknownIDsCostOneGracePeriod(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewRegistry()
		c := schema.New(schema.Config{Types: sample.Catalogue(), Client: schema.NewClient("http://registry", schema.WithTransport(answers(knowing(placed)))), Registerer: reg})
		if err := c.Register(t.Context(), placed); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		judge := func(first, n int) {
			var open []int
			for i := range n {
				open = append(open, first+i)
			}
			for len(open) > 0 {
				var last *schema.Waiting
				open = slices.DeleteFunc(open, func(id int) bool {
					_, err := c.Decode(t.Context(), placed, valueOf(id))
					if w, waits := errors.AsType[*schema.Waiting](err); waits {
						last = w
						return false
					}
					wantKind(t, err, errs.Hopeless, "no such schema")
					return true
				})
				if last != nil {
					pause(last)
				}
			}
		}
		judge(1000, 500) // in two groups, as they arrive from a partition
		if took := time.Since(began); took < schema.DefaultGrace || took > schema.DefaultGrace+5*time.Second {
			t.Errorf("500 ids were judged after %v, the grace period is %v", took, schema.DefaultGrace)
		}
		judge(2000, 500)
		if took := time.Since(began); took > schema.DefaultGrace+10*time.Second {
			t.Errorf("1,000 ids took %v, the grace period is %v", took, schema.DefaultGrace)
		}
		if n := metric(t, reg, "schema_unknown_ids_total"); n != 1000 {
			t.Errorf("%v ids were counted as unknown", n)
		}
		// An episode ends with its ids: a later id has a full grace period.
		<-time.After(2 * schema.DefaultGrace)
		began = time.Now()
		judge(5000, 1)
		if took := time.Since(began); took < schema.DefaultGrace {
			t.Errorf("an id of a later time was judged after %v", took)
		}
	})
}

// knowing is a registry without a network that has one type, as id 1.
func knowing(typ event.Type) func(req *http.Request) (status int, body string) {
	return func(req *http.Request) (int, string) {
		switch {
		case req.Method == http.MethodPost:
			return 200, `{"id":1}`
		case req.URL.Path == "/schemas/ids/1":
			text, _ := json.Marshal(map[string]string{"schema": typ.Schema}) // cannot fail
			return 200, string(text)
		}
		return 404, `{"error_code":40403,"message":"no such schema"}`
	}
}

// metric returns the value of a metric without labels.
func metric(t *testing.T, reg *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			m := f.GetMetric()[0]
			return m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

// A registry that is right again between the request and the control was wrong at the request.
func TestARegistryThatWasWrongWhenItWasAskedIsNotBelieved(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		registry := answers(func(req *http.Request) (int, string) {
			if req.URL.Path == "/schemas/ids/2" {
				if asked++; asked > 2 {
					text, _ := json.Marshal(map[string]string{"schema": strings.Replace(placed.Schema, "{", `{"aliases":["Newer"],`, 1)})
					return 200, string(text)
				}
				return 404, `{"error_code":40403,"message":"no such schema"}`
			}
			if req.URL.Path == "/schemas/ids/1" && asked < 2 {
				return 404, `{"error_code":40403,"message":"no such schema"}` // until id 2 has been denied the second time
			}
			return knowing(placed)(req)
		})
		client := schema.NewClient("http://registry", schema.WithTransport(registry))
		c := schema.New(schema.Config{Types: sample.Catalogue(), Client: client, Grace: 50 * time.Millisecond})
		if err := c.Register(t.Context(), placed); err != nil {
			t.Fatal(err)
		}
		for range 10 {
			_, err := c.Decode(t.Context(), placed, valueOf(2))
			if err == nil {
				return
			}
			w, waits := errors.AsType[*schema.Waiting](err)
			if !waits {
				t.Fatalf("Decode = %v", err)
			}
			pause(w)
		}
		t.Error("not found")
	})
}

// A registry that does not have what it must have is not believed, however long that lasts.
func TestAWrongRegistryBlamesNoRecord(t *testing.T) {
	t.Parallel()
	for name, wrong := range map[string]func(http.ResponseWriter, *http.Request) bool{
		"restored from an old backup": denying(1, 2),
		"another one": func(w http.ResponseWriter, req *http.Request) bool {
			if req.URL.Path == "/schemas/ids/1" {
				answer(w, map[string]string{"schema": `"string"`})
				return true
			}
			return denying(2)(w, req)
		},
		"another one that knows the id too": func(w http.ResponseWriter, req *http.Request) bool {
			answer(w, map[string]string{"schema": `"string"`})
			return true
		},
		"empty": func(w http.ResponseWriter, req *http.Request) bool {
			refuse(w, 404, 40403, "no such schema")
			return true
		},
		"proxy's page":       body(200, `<html>log in</html>`),
		"proxy's JSON":       body(200, `{"status":"ok"}`),
		"null":               body(200, `null`),
		"nothing":            body(200, ``),
		"a list":             body(200, `[]`),
		"not for us":         body(401, `{"error_code":401,"message":"unauthorized"}`),
		"forbidden":          body(403, `{"error_code":40301,"message":"forbidden"}`),
		"too many requests":  body(429, `slow down`),
		"not found by proxy": body(404, `{"error":"not found"}`),
		"unprocessable":      body(422, `{"error_code":42205,"message":"read-only"}`),
		"moved to a page":    moved,
		"endless redirection": func(w http.ResponseWriter, req *http.Request) bool {
			http.Redirect(w, req, req.URL.Path, http.StatusTemporaryRedirect)
			return true
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRegistry(t)
			c := r.codecWith(10 * time.Millisecond)
			if err := c.Register(t.Context(), placed); err != nil {
				t.Fatal(err)
			}
			other := r.add("lockers.parcel.v1.ParcelNoted", strings.Replace(placed.Schema, "{", `{"doc":"newer",`, 1))
			r.breakWith(wrong)
			waitsUntil(t, c, valueOf(other), func(error) bool { return c.Ready() != nil })
			wantKind(t, c.Ready(), errs.Transient, fmt.Sprintf("schema id %d", other))
			for range 3 { // long after the grace period
				waitsUntil(t, c, valueOf(other), func(error) bool { return true })
			}
			r.breakWith(nil)
			if e, err := decideSoon(t, c, placed, valueOf(other)); err != nil || e.AggregateKey() != "o" {
				t.Errorf("after the registry was right again: %v, %v", e, err)
			}
			if err := c.Ready(); err != nil {
				t.Errorf("not ready afterwards: %v", err)
			}
		})
	}
}

func body(status int, text string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(status)
		fmt.Fprint(w, text)
		return true
	}
}

// moved redirects every request to a page that reports success.
func moved(w http.ResponseWriter, req *http.Request) bool {
	if req.URL.Path == "/login" {
		fmt.Fprint(w, "welcome")
		return true
	}
	http.Redirect(w, req, "/login", http.StatusFound)
	return true
}

// A codec with an empty cache does not believe a registry without schemas.
func TestAnEmptyRegistryIsNotBelieved(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	c := r.codecWith(time.Millisecond)
	waitsUntil(t, c, valueOf(7), func(err error) bool { return strings.Contains(err.Error(), "no Avro schema at all") })
	r.add("s", `"string"`)
	_, err := decideSoon(t, c, placed, valueOf(7))
	wantKind(t, err, errs.Hopeless, "no such schema")
}

// The next try finds a schema that an operator has restored, whatever the verdict was before.
func TestAVerdictIsNotForEver(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	c := r.codecWith(10 * time.Millisecond)
	if err := c.Register(t.Context(), sample.TypeOf[sample.ParcelCollected]()); err != nil {
		t.Fatal(err)
	}
	_, err := decideSoon(t, c, placed, valueOf(2))
	wantKind(t, err, errs.Hopeless, "no such schema")
	r.add(placed.Subject, placed.Schema)
	deadline := time.Now().Add(10 * time.Second)
	for {
		if _, err = decideSoon(t, c, placed, valueOf(2)); err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		runtime.Gosched()
	}
}

// hanging is a registry that answers until it hangs. From then on it accepts requests and answers
// none.
type hanging struct {
	answers
	hangs atomic.Bool
	held  atomic.Int64 // requests without a response
}

func (h *hanging) RoundTrip(req *http.Request) (*http.Response, error) {
	if !h.hangs.Load() {
		return h.answers.RoundTrip(req)
	}
	h.held.Add(1)
	<-req.Context().Done()
	return nil, req.Context().Err()
}

func TestARegistryThatNeverAnswersHoldsUpNoOtherRecord(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		registry := &hanging{answers: knowing(placed)}
		reg := prometheus.NewRegistry()
		c := schema.New(schema.Config{Types: sample.Catalogue(), Client: schema.NewClient("http://registry", schema.WithTransport(registry)), Registerer: reg})
		if err := c.Register(t.Context(), placed); err != nil {
			t.Fatal(err)
		}
		registry.hangs.Store(true)
		began := time.Now()
		for id := range 1000 {
			_, err := c.Decode(t.Context(), placed, valueOf(100+id))
			wantKind(t, err, errs.Transient, fmt.Sprintf("schema id %d", 100+id))
		}
		if took := time.Since(began); took > 600*time.Millisecond {
			t.Errorf("1,000 unknown ids held their caller for %v", took)
		}
		if n := registry.held.Load(); n > 8 {
			t.Errorf("%d requests at a time to a registry that does not answer", n)
		}
		if err := c.Ready(); err != nil {
			t.Errorf("not ready at once: %v", err)
		}
		<-time.After(1200 * time.Millisecond) // the first request is still in progress
		wantKind(t, c.Ready(), errs.Transient, "does not answer")
		if n := metric(t, reg, "schema_lookups_waiting"); n != 1000 {
			t.Errorf("%v ids wait", n)
		}
		began = time.Now()
		if _, err := c.Decode(t.Context(), placed, valueOf(1)); err != nil || time.Since(began) > 0 {
			t.Errorf("a known id after %v: %v", time.Since(began), err)
		}
		// While it hangs, the registry gets one request at a time.
		before := registry.held.Load()
		for range 60 {
			<-time.After(time.Second)
			for id := range 1000 {
				_, err := c.Decode(t.Context(), placed, valueOf(100+id))
				wantKind(t, err, errs.Transient, fmt.Sprintf("schema id %d", 100+id))
			}
			if err := c.Ready(); err == nil {
				t.Error("ready")
			}
		}
		if n := registry.held.Load() - before; n > 35 {
			t.Errorf("%d requests in a minute to a registry that does not answer within 2 s", n)
		}
		if n := metric(t, reg, "schema_lookup_failures_total"); n < 8 {
			t.Errorf("%v failures were counted", n)
		}
		// The codec recovers by itself, and the outage does not count against the ids.
		registry.hangs.Store(false)
		began = time.Now()
		_, err := decideSoon(t, c, placed, valueOf(100))
		wantKind(t, err, errs.Hopeless, "no such schema")
		if took := time.Since(began); took < schema.DefaultGrace {
			t.Errorf("judged %v after the registry was back", took)
		}
	})
}

// An encode inside a transaction must not delay it for as long as the registry takes.
func TestEncodeDoesNotWaitForARegistryThatHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		registry := &hanging{answers: knowing(placed)}
		registry.hangs.Store(true)
		c := schema.NewCodec(schema.NewClient("http://registry", schema.WithTransport(registry)), sample.Catalogue())
		encode := func() error {
			_, err := c.Encode(t.Context(), sample.ParcelNoted{ParcelID: "o", OccurredAt: at})
			return err
		}
		began := time.Now()
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() { wantKind(t, encode(), errs.Transient, "is not registered yet") })
		}
		all.Wait()
		if took := time.Since(began); took > 600*time.Millisecond {
			t.Errorf("the first encodes took %v", took)
		}
		for range 20 { // later callers do not wait at all
			began = time.Now()
			wantKind(t, encode(), errs.Transient, "is not registered yet")
			if took := time.Since(began); took > 0 {
				t.Errorf("an encode while the registry hangs took %v", took)
			}
			<-time.After(time.Second)
		}
		wantKind(t, c.Encodable(placed), errs.Transient, placed.Subject)
		registry.hangs.Store(false)
		<-time.After(5 * time.Second)
		_ = encode() // begins the try that succeeds
		synctest.Wait()
		if err := encode(); err != nil {
			t.Error(err)
		}
	})
}
