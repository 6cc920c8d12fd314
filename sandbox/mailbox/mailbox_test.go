package mailbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// fixture is a mailbox behind HTTP. It can stop and open again on the same folder.
type fixture struct {
	t      *testing.T
	folder string
	server *Server
	http   *httptest.Server
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{t: t, folder: t.TempDir()}
	f.open()
	t.Cleanup(f.close)
	return f
}

func (f *fixture) open() {
	f.t.Helper()
	server, err := Open(f.folder, time.Now)
	if err != nil {
		f.t.Fatalf("Open: %v", err)
	}
	f.server, f.http = server, httptest.NewServer(server.Handler())
}

func (f *fixture) close() {
	f.http.Close()
	if err := f.server.Close(); err != nil {
		f.t.Errorf("Close: %v", err)
	}
}

type answer struct {
	HTTP  int
	Mail         // of one key
	Mails []Mail `json:"mails"`
	Count int    `json:"count"`
}

// send returns an error when the connection was cut.
func (f *fixture) send(method, path, body string) (answer, error) {
	f.t.Helper()
	req, err := http.NewRequest(method, f.http.URL+path, strings.NewReader(body))
	if err != nil {
		f.t.Fatal(err)
	}
	req.GetBody = nil // the transport must not repeat the request
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	a := answer{HTTP: res.StatusCode}
	if path == "/faults" {
		return a, nil // its status is an HTTP status
	}
	if err := json.NewDecoder(res.Body).Decode(&a); err != nil {
		f.t.Errorf("%s %s: answer is no JSON: %v", method, path, err)
	}
	return a, nil
}

func (f *fixture) must(want int, method, path, body string) answer {
	f.t.Helper()
	a, err := f.send(method, path, body)
	if err != nil || a.HTTP != want {
		f.t.Fatalf("%s %s: %d %s, %v; want %d", method, path, a.HTTP, a.Code, err, want)
	}
	return a
}

// arrived lists the delivered mails: "order to text".
func (f *fixture) arrived(query string) []string {
	f.t.Helper()
	a := f.must(200, "GET", "/v1/mails"+query, "")
	got := []string{}
	for _, m := range a.Mails {
		got = append(got, m.OrderID+" "+m.To+" "+m.Text)
	}
	return got
}

func mail(order, text string) string {
	return fmt.Sprintf(`{"orderId":%q,"customerId":"c-%s","to":"ada@example.com","subject":"s","text":%q}`, order, order, text)
}

func TestOneKeyDeliversOneMail(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	first := f.must(201, "PUT", "/v1/mails/k1", mail("o1", "hello"))
	for range 2 {
		if again := f.must(200, "PUT", "/v1/mails/k1", mail("o1", "hello")); again.Seq != first.Seq {
			t.Errorf("the same mail again is %+v, first %+v", again, first)
		}
		if other := f.must(422, "PUT", "/v1/mails/k1", mail("o1", "good-bye")); other.Code != "idempotency_key_reused" {
			t.Errorf("another mail with the key: %s", other.Code)
		}
		if got := f.must(200, "GET", "/v1/mails/k1", ""); got.Status != StatusDelivered || got.Text != "hello" {
			t.Errorf("looked up: %+v", got)
		}
		f.must(404, "GET", "/v1/mails/k2", "")
		if diff := cmp.Diff([]string{"o1 ada@example.com hello"}, f.arrived("")); diff != "" {
			t.Errorf("arrived (-want +got):\n%s", diff)
		}
		f.close()
		f.open() // what is above holds after a restart
	}
}

func TestPages(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for i, order := range []string{"o1", "o2", "o1", "o3"} {
		f.must(201, "PUT", fmt.Sprintf("/v1/mails/k%d", i), mail(order, fmt.Sprint(i)))
	}
	all := f.must(200, "GET", "/v1/mails", "").Mails
	for query, want := range map[string][]string{
		"":         {"o1 ada@example.com 0", "o2 ada@example.com 1", "o1 ada@example.com 2", "o3 ada@example.com 3"},
		"?limit=1": {"o1 ada@example.com 0"},
		fmt.Sprintf("?after=%d&limit=2", all[1].Seq): {"o1 ada@example.com 2", "o3 ada@example.com 3"},
		"?order=o1": {"o1 ada@example.com 0", "o1 ada@example.com 2"},
		fmt.Sprintf("?order=o1&after=%d", all[0].Seq): {"o1 ada@example.com 2"},
		"?order=o9": {},
	} {
		if diff := cmp.Diff(want, f.arrived(query)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", query, diff)
		}
	}
	if got := f.must(200, "GET", "/v1/mails?order=o1&limit=1", "").Count; got != 2 {
		t.Errorf("count of an order with two mails: %d", got)
	}
	f.must(400, "GET", "/v1/mails?order=", "")
	f.must(400, "GET", "/v1/mails?limit=0", "")
}

func TestBadRequests(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for name, body := range map[string]string{
		"no JSON": `{`, "no order": `{"to":"a@b","text":"t"}`, "no recipient": `{"orderId":"o","text":"t"}`,
		"no text": `{"orderId":"o","to":"a@b"}`, "unknown member": `{"orderId":"o","to":"a@b","text":"t","bcc":"x"}`,
	} {
		if a, err := f.send("PUT", "/v1/mails/k", body); err != nil || a.HTTP != 400 {
			t.Errorf("%s: %d %v", name, a.HTTP, err)
		}
	}
	f.must(400, "PUT", "/v1/mails/"+strings.Repeat("k", 256), mail("o1", "t"))
	f.must(405, "DELETE", "/v1/mails/k", "")
	if got := f.arrived(""); len(got) != 0 {
		t.Errorf("arrived: %v", got)
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	rule := func(r string) { t.Helper(); f.must(201, "POST", "/faults", r) }
	cut := func(path, body string) {
		t.Helper()
		if a, err := f.send("PUT", path, body); err == nil {
			t.Fatalf("answered %d, want a cut connection", a.HTTP)
		}
	}
	rule(`{"match":{"operation":"send","orderId":"o1"},"down":true,"times":1}`)
	cut("/v1/mails/k1", mail("o1", "t"))
	f.must(404, "GET", "/v1/mails/k1", "") // nothing was done

	rule(`{"match":{"customerId":"c-o1"},"answerLost":true,"times":1}`)
	cut("/v1/mails/k1", mail("o1", "t"))
	if got := f.must(200, "GET", "/v1/mails/k1", ""); got.Status != StatusDelivered {
		t.Errorf("after a lost answer: %+v", got)
	}

	rule(`{"match":{"operation":"lookup","key":"k1"},"status":503,"times":1}`)
	f.must(503, "GET", "/v1/mails/k1", "")

	rule(`{"match":{"orderId":"o2"},"refuse":"no_such_mailbox","times":1}`)
	for range 2 { // a refusal is for good, and no rule matches the second time
		if got := f.must(422, "PUT", "/v1/mails/k2", mail("o2", "t")); got.Code != "no_such_mailbox" {
			t.Errorf("refused with %q", got.Code)
		}
	}
	if got := f.must(200, "GET", "/v1/mails/k2", ""); got.Status != StatusRefused || got.Mail.Code != "no_such_mailbox" {
		t.Errorf("looked up: %+v", got)
	}
	if diff := cmp.Diff([]string{"o1 ada@example.com t"}, f.arrived("")); diff != "" {
		t.Errorf("arrived (-want +got):\n%s", diff)
	}
	f.must(422, "POST", "/faults", `{"decline":"x"}`) // of the gateway
}

func TestConcurrentSendsOfOneKey(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var created atomic.Int64
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if a, err := f.send("PUT", "/v1/mails/k1", mail("o1", "t")); err == nil && a.HTTP == 201 {
				created.Add(1)
			}
		})
	}
	all.Wait()
	if got := created.Load(); got != 1 {
		t.Errorf("%d calls were answered 201", got)
	}
}

// TestNoAnswerBeforeTheDiskHasIt: no answer depends on a mail that a crash could remove.
func TestNoAnswerBeforeTheDiskHasIt(t *testing.T) {
	t.Parallel()
	for name, ask := range map[string][3]string{
		"the same mail again": {"PUT", "/v1/mails/k1", mail("o1", "t")},
		"the key for another": {"PUT", "/v1/mails/k1", mail("o1", "u")},
		"look-up":             {"GET", "/v1/mails/k1", ""},
		"the list":            {"GET", "/v1/mails", ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var release chan struct{}
				server, err := openOn(t.TempDir(), time.Now, func(f *os.File) error { <-release; return f.Sync() })
				if err != nil {
					t.Fatal(err)
				}
				release = make(chan struct{})
				var answered atomic.Int64
				for _, r := range [][3]string{{"PUT", "/v1/mails/k1", mail("o1", "t")}, ask} {
					req := httptest.NewRequest(r[0], r[1], strings.NewReader(r[2]))
					go func() {
						server.Handler().ServeHTTP(httptest.NewRecorder(), req)
						answered.Add(1)
					}()
					synctest.Wait()
				}
				if n := answered.Load(); n != 0 {
					t.Errorf("%d answers before the disk had it", n)
				}
				close(release)
				synctest.Wait()
				if n := answered.Load(); n != 2 {
					t.Errorf("%d answers, want 2", n)
				}
				if err := server.Close(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestABrokenDiskEndsTheMailbox: nothing is answered that the journal did not store, and Run returns.
func TestABrokenDiskEndsTheMailbox(t *testing.T) {
	t.Parallel()
	gone := errors.New("disk gone")
	var broken atomic.Bool
	server, err := openOn(t.TempDir(), time.Now, func(f *os.File) error {
		if broken.Load() {
			return gone
		}
		return f.Sync()
	})
	if err != nil {
		t.Fatal(err)
	}
	broken.Store(true)
	w := httptest.NewRecorder()
	server.Handler().ServeHTTP(w, httptest.NewRequest("PUT", "/v1/mails/k1", strings.NewReader(mail("o1", "t"))))
	if w.Code != 500 {
		t.Errorf("answered %d", w.Code)
	}
	if err := server.Run(t.Context()); !errors.Is(err, gone) {
		t.Errorf("Run: %v", err)
	}
	if err := server.Ready(t.Context()); err == nil {
		t.Error("ready without a journal")
	}
	_ = server.Close() // fails as the journal has
}
