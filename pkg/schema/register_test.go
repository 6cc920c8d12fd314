package schema_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/event/sample"
	"eventshop.example/pkg/schema"
)

var quiet = slog.New(slog.DiscardHandler)

func withCancel(t *testing.T) (context.Context, context.CancelFunc) {
	return context.WithCancel(t.Context())
}

func TestRegisterIsIdempotent(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	c := r.codec()
	for range 2 {
		if err := c.Register(t.Context(), sample.Catalogue().Types()...); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.codec().Register(t.Context(), sample.Catalogue().Types()...); err != nil {
		t.Fatal(err)
	}
	if got, want := len(r.schemas), len(sample.Catalogue().Types()); got != want {
		t.Errorf("%d schemas of %d types", got, want)
	}
	// Each codec looked the schema up once, because the second Register of the first codec sent no
	// request. Only the first codec registered it.
	const subject = "/subjects/lockers.parcel.v1.ParcelAccepted"
	if n, m := r.count("POST "+subject), r.count("POST "+subject+"/versions"); n != 2 || m != 1 {
		t.Errorf("ParcelAccepted was looked up %d times and registered %d times", n, m)
	}
}

func TestLongLivedTopicsAreFullTransitive(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	if err := r.codec().Register(t.Context(), sample.Catalogue().Types()...); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	for _, typ := range sample.Catalogue().Types() {
		if strings.HasSuffix(typ.Topic, ".events") {
			want[typ.Subject] = "FULL_TRANSITIVE"
		}
	}
	if diff := cmp.Diff(want, r.levels); diff != "" {
		t.Errorf("levels (-want +got):\n%s", diff)
	}
}

func TestIncompatibleSchemaIsRefused(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	shipped, delivered := sample.TypeOf[sample.ParcelLabelled](), sample.TypeOf[sample.ParcelCollected]()
	r.add(shipped.Subject, strings.Replace(shipped.Schema, `"labelId"`, `"parcelId"`, 1))
	c := r.codec()
	err := c.Register(t.Context(), shipped, delivered)
	wantKind(t, err, errs.Transient, "incompatible with an earlier version")
	wantKind(t, c.Ready(), errs.Transient, shipped.Subject)
	_, err = c.Encode(t.Context(), sample.ParcelLabelled{ParcelID: "o-1"})
	wantKind(t, err, errs.Transient, "incompatible")
	// The other type is not delayed.
	if _, err := c.Encode(t.Context(), sample.ParcelCollected{ParcelID: "o-1", OccurredAt: at}); err != nil {
		t.Error(err)
	}
}

func TestInvalidSchemaIsRefused(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	_, err := schema.NewClient(r.URL).Register(t.Context(), "s", `{"type":"nonsense"}`)
	wantKind(t, err, errs.Invalid, "register schema s")
	err = r.codec().Register(t.Context(), typeWith("ParcelNoted", `{"type":"nonsense"}`))
	wantKind(t, err, errs.Hopeless, "parse schema")
}

func TestReadyTellsWhatIsMissing(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	placed := sample.TypeOf[sample.ParcelNoted]()
	if err := r.codec().Ready(); err != nil {
		t.Errorf("a codec with nothing to register: %v", err)
	}
	c := schema.New(schema.Config{Client: schema.NewClient(r.URL), Types: sample.Catalogue(), WaitFor: []event.Type{placed}})
	wantKind(t, c.Ready(), errs.Transient, "lockers.parcel.v1.ParcelNoted is not registered yet")

	r.fail(503, false)
	wantKind(t, c.Register(t.Context(), placed), errs.Transient, "register schemas")
	wantKind(t, c.Ready(), errs.Transient, "told to fail")

	r.fail(0, false)
	if err := c.Register(t.Context(), placed); err != nil {
		t.Fatal(err)
	}
	if err := c.Ready(); err != nil {
		t.Errorf("all registered: %v", err)
	}
}

func drain(c chan struct{}) {
	for len(c) > 0 {
		<-c
	}
}

func TestKeepRegisteringWaitsForTheRegistry(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	placed := sample.TypeOf[sample.ParcelNoted]()
	r.fail(503, false)
	c := r.codec()
	done := make(chan error, 1)
	ctx, cancel := withCancel(t)
	go func() { done <- c.KeepRegistering(ctx, quiet, placed) }()
	<-r.failed
	<-r.failed
	r.fail(0, false)
	if err := <-done; err != nil {
		t.Fatal(err)
	}

	r.fail(503, false)
	drain(r.failed)
	go func() { done <- r.codec().KeepRegistering(ctx, quiet, placed) }()
	<-r.failed
	cancel()
	if err := <-done; err == nil {
		t.Error("an ended context gave no error")
	}
}

// answers is a registry without a network, for tests on a clock of their own.
type answers func(req *http.Request) (status int, body string)

func (a answers) RoundTrip(req *http.Request) (*http.Response, error) {
	status, body := a(req)
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), Request: req}, nil
}

func TestKeepRegisteringOutlastsARefusal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		placed := sample.TypeOf[sample.ParcelNoted]()
		start := time.Now()
		var tries []time.Duration
		registry := answers(func(req *http.Request) (int, string) {
			switch {
			case req.URL.Path == "/subjects/"+placed.Subject:
				return 404, `{"error_code":40401,"message":"no such subject"}`
			case req.Method != http.MethodPost:
				return 200, `{"id":1}` // the client library looks up what it has registered
			}
			tries = append(tries, time.Since(start))
			if len(tries) <= 2 {
				return 409, `{"error_code":409,"message":"incompatible"}`
			}
			return 200, `{"id":1}`
		})
		c := schema.New(schema.Config{Client: schema.NewClient("http://registry", schema.WithTransport(registry)), Types: sample.Catalogue(), WaitFor: []event.Type{placed}})
		done := make(chan error)
		go func() { done <- c.KeepRegistering(t.Context(), quiet, placed) }()
		synctest.Wait()
		wantKind(t, c.Ready(), errs.Transient, "incompatible")
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if err := c.Ready(); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff([]time.Duration{0, 30 * time.Second, 60 * time.Second}, tries); diff != "" {
			t.Errorf("tries (-want +got):\n%s", diff)
		}
	})
}

func TestClientListsSubjects(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	c := schema.NewClient(r.URL)
	first, second := r.add("s", `"string"`), r.add("s", `"bytes"`)
	got, err := c.Latest(t.Context(), "s")
	if want := (schema.Version{ID: second, Version: 2, Schema: `"bytes"`}); err != nil || got != want {
		t.Errorf("Latest = %+v, %v", got, err)
	}
	if text, err := c.Schema(t.Context(), first); err != nil || text != `"string"` {
		t.Errorf("Schema = %s, %v", text, err)
	}
	if names, err := c.Subjects(t.Context()); err != nil || !cmp.Equal(names, []string{"s"}) {
		t.Errorf("Subjects = %v, %v", names, err)
	}
	_, err = c.Latest(t.Context(), "unknown")
	wantKind(t, err, errs.NotFound, "latest schema of unknown")
	_, err = c.Schema(t.Context(), 99)
	wantKind(t, err, errs.NotFound, "schema id 99")
}
