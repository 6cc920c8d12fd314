package schema_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/event/sample"
	"eventshop.example/pkg/schema"
)

var parcelCollected = sample.TypeOf[sample.ParcelCollected]() // of a long-lived topic

// refusing answers requests of a method, and of a path with a prefix, with a failure.
func refusing(method, prefix string, status, code int) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, req *http.Request) bool {
		if req.Method != method || !strings.HasPrefix(req.URL.Path, prefix) {
			return false
		}
		refuse(w, status, code, "told to refuse")
		return true
	}
}

// A registry that has the schema need not accept writes: the service is ready, and a level that
// could not be set is logged.
func TestSchemasThatAreThereNeedNoWrites(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]func(http.ResponseWriter, *http.Request) bool{
		"read-only":                    refusing("PUT", "/config/", 422, 42205),
		"forbidden":                    refusing("PUT", "/config/", 403, 40301),
		"method not allowed":           refusing("PUT", "/config/", 405, 405),
		"levels fail":                  refusing("PUT", "/config/", 500, 50001),
		"levels cannot be read either": refusing("GET", "/config/", 500, 50001),
		"every POST forbidden":         refusing("POST", "/", 403, 40301),
		"every POST not allowed": func(w http.ResponseWriter, req *http.Request) bool {
			if req.Method == http.MethodPost {
				http.Error(w, "<html>405</html>", http.StatusMethodNotAllowed)
			}
			return req.Method == http.MethodPost
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRegistry(t)
			r.add(parcelCollected.Subject, strings.Replace(parcelCollected.Schema, "{", `{"aliases":["Older"],`, 1))
			id := r.add(parcelCollected.Subject, parcelCollected.Schema)
			r.add(parcelCollected.Subject, strings.Replace(parcelCollected.Schema, "{", `{"aliases":["Newer"],`, 1))
			r.breakWith(fault)
			var log bytes.Buffer
			c := schema.New(schema.Config{Client: schema.NewClient(r.URL), Types: sample.Catalogue(), WaitFor: []event.Type{parcelCollected}})
			ctx, cancel := withCancel(t)
			done := make(chan error, 1)
			go func() {
				done <- c.KeepRegistering(ctx, slog.New(slog.NewTextHandler(&log, nil)), parcelCollected)
			}()
			for deadline := time.Now().Add(20 * time.Second); c.Ready() != nil; {
				if time.Now().After(deadline) {
					t.Fatal(c.Ready())
				}
				<-time.After(5 * time.Millisecond)
			}
			b, err := c.Encode(t.Context(), sample.ParcelCollected{ParcelID: "o", OccurredAt: at})
			if err != nil || int(b[4]) != id {
				t.Errorf("Encode = %x, %v; want schema id %d", b, err, id)
			}
			if n := r.count("POST /subjects/" + parcelCollected.Subject + "/versions"); n != 0 {
				t.Errorf("%d registrations of a schema that is there", n)
			}
			cancel()
			<-done
			reported, want := strings.Contains(log.String(), "levels could not be set"), strings.HasPrefix(fmt.Sprint(r.levels), "map[]")
			if reported != want {
				t.Errorf("levels %v, and the log says: %s", r.levels, log.String())
			}
		})
	}
}

// A correct level is not written again.
func TestALevelThatIsRightIsNotWritten(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	for range 3 {
		if err := r.codec().Register(t.Context(), parcelCollected); err != nil {
			t.Fatal(err)
		}
	}
	if n := r.count("PUT /config/" + parcelCollected.Subject); n != 1 {
		t.Errorf("the level was written %d times", n)
	}
}

// Operators correct a refusal at the registry: the codec waits, whatever the registry answers, and
// continues by itself.
func TestAMissingSchemaThatIsRefusedIsWaitedFor(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]func(http.ResponseWriter, *http.Request) bool{
		"read-only":                 refusing("POST", "/subjects/"+parcelCollected.Subject+"/versions", 422, 42205),
		"forbidden":                 refusing("POST", "/subjects/"+parcelCollected.Subject+"/versions", 403, 40301),
		"incompatible":              refusing("POST", "/subjects/"+parcelCollected.Subject+"/versions", 409, 409),
		"invalid":                   refusing("POST", "/subjects/"+parcelCollected.Subject+"/versions", 422, 42201),
		"not allowed to set levels": refusing("PUT", "/config/", 403, 40301),
		"every POST forbidden":      refusing("POST", "/", 403, 40301),
		"no id in the answer": func(w http.ResponseWriter, req *http.Request) bool {
			answer(w, map[string]string{"status": "ok"})
			return true
		},
		"null": body(200, "null"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRegistry(t)
			c := schema.New(schema.Config{Client: schema.NewClient(r.URL), Types: sample.Catalogue(), WaitFor: []event.Type{parcelCollected}})
			r.breakWith(fault)
			wantKind(t, c.Register(t.Context(), parcelCollected), errs.Transient, parcelCollected.Subject)
			_, err := c.Encode(t.Context(), sample.ParcelCollected{ParcelID: "o", OccurredAt: at})
			wantKind(t, err, errs.Transient, parcelCollected.Subject)
			wantKind(t, c.CanEncode(t.Context(), placed, parcelCollected), errs.Transient, "encode Parcel")
			wantKind(t, c.Encodable(parcelCollected), errs.Transient, parcelCollected.Subject)
			wantKind(t, c.Ready(), errs.Transient, parcelCollected.Subject)
			r.breakWith(nil)
			// The try in progress may have begun before the registry was corrected.
			for deadline := time.Now().Add(20 * time.Second); ; <-time.After(5 * time.Millisecond) {
				if err := c.CanEncode(t.Context(), placed, parcelCollected); err == nil {
					break
				} else if time.Now().After(deadline) {
					t.Fatal(err)
				}
			}
			if err := c.Ready(); err != nil {
				t.Errorf("not ready: %v", err)
			}
			if level := r.levels[parcelCollected.Subject]; level != string(schema.FullTransitive) {
				t.Errorf("level %q", level)
			}
		})
	}
}

// Encodable tries to register a type once per second at most. A registered type stays encodable
// while the registry is down.
func TestEncodableAsksForWhatIsMissing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		down, asked := true, 0
		registry := answers(func(req *http.Request) (int, string) {
			asked++
			if down {
				return 503, "down"
			}
			return knowing(placed)(req)
		})
		c := schema.NewCodec(schema.NewClient("http://registry", schema.WithTransport(registry)), sample.Catalogue())
		wantKind(t, c.Encodable(placed), errs.Transient, placed.Subject)
		synctest.Wait()
		before := asked
		for range 100 { // waiting callers may ask as often as they like
			wantKind(t, c.Encodable(placed), errs.Transient, placed.Subject)
			synctest.Wait()
		}
		if asked != before {
			t.Errorf("%d requests to a registry that failed just now", asked-before)
		}
		down = false
		<-time.After(time.Second)
		wantKind(t, c.Encodable(placed), errs.Transient, placed.Subject)
		synctest.Wait()
		if err := c.Encodable(placed); err != nil {
			t.Error(err)
		}
		down = true
		if err := c.Encodable(placed); err != nil {
			t.Errorf("once registered: %v", err)
		}
	})
}
