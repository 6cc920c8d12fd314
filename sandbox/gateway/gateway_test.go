package gateway

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// fixture is a gateway behind HTTP. It can stop and newFixture on the same folder.
type fixture struct {
	t      *testing.T
	folder string
	server *Server
	http   *httptest.Server
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	r := &fixture{t: t, folder: t.TempDir()}
	r.open()
	t.Cleanup(r.close)
	return r
}

func (r *fixture) open() {
	r.t.Helper()
	server, err := Open(r.folder, time.Now)
	if err != nil {
		r.t.Fatalf("Open: %v", err)
	}
	r.server, r.http = server, httptest.NewServer(server.Handler())
}

func (r *fixture) close() {
	r.http.Close()
	if err := r.server.Close(); err != nil {
		r.t.Errorf("Close: %v", err)
	}
}

func (r *fixture) restart() {
	r.t.Helper()
	r.close()
	r.open()
}

type answer struct {
	Status   int
	ChargeID string `json:"chargeId"`
	RefundID string `json:"refundId"`
	State    string `json:"status"`
	Code     string `json:"code"`
	Decline  string `json:"declineCode"`
	Refunded int64  `json:"refunded"`
}

// send returns an error only when no answer arrived.
func (r *fixture) send(method, path, key, body string) (answer, error) {
	r.t.Helper()
	req, err := http.NewRequest(method, r.http.URL+path, bytes.NewBufferString(body))
	if err != nil {
		r.t.Fatal(err)
	}
	// The transport itself repeats a request that has a key and a body that can be read again. A
	// test of lost answers needs each request to be sent once.
	req.GetBody = nil
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	var a answer
	if res.StatusCode != http.StatusNoContent {
		if err := json.NewDecoder(res.Body).Decode(&a); err != nil {
			r.t.Errorf("%s %s: answer is no JSON: %v", method, path, err)
		}
	}
	a.Status = res.StatusCode
	return a, nil
}

func (r *fixture) must(method, path, key, body string) answer {
	r.t.Helper()
	a, err := r.send(method, path, key, body)
	if err != nil {
		r.t.Fatalf("%s %s: %v", method, path, err)
	}
	return a
}

func chargeBody(order string, amount int64) string {
	return fmt.Sprintf(`{"orderId":%q,"customerId":"c1","amount":%d,"currency":"EUR"}`, order, amount)
}

func (r *fixture) ledger() []Entry {
	r.t.Helper()
	res, err := http.Get(r.http.URL + "/v1/ledger")
	if err != nil {
		r.t.Fatal(err)
	}
	defer res.Body.Close()
	var page struct{ Entries []entryView }
	if err := json.NewDecoder(res.Body).Decode(&page); err != nil {
		r.t.Fatal(err)
	}
	entries := make([]Entry, len(page.Entries))
	for i, view := range page.Entries {
		entries[i] = view.Entry
		entries[i].Amount = view.AmountMinor
	}
	return entries
}

func (r *fixture) kinds(order string) []Kind {
	r.t.Helper()
	var kinds []Kind
	for _, e := range r.ledger() {
		if e.OrderID == order {
			kinds = append(kinds, e.Kind)
		}
	}
	return kinds
}

func (r *fixture) wantKinds(order string, want ...Kind) {
	r.t.Helper()
	if diff := cmp.Diff(want, r.kinds(order)); diff != "" {
		r.t.Fatalf("ledger of %s (-want +got):\n%s", order, diff)
	}
}

func TestChargeIsCapturedOncePerKey(t *testing.T) {
	r := newFixture(t)
	first := r.must("POST", "/v1/charges", "k1", chargeBody("o1", 500))
	if first.Status != 201 || first.State != "captured" || first.ChargeID == "" {
		t.Fatalf("charge = %+v", first)
	}
	for range 2 {
		again := r.must("POST", "/v1/charges", "k1", chargeBody("o1", 500))
		if again.Status != 200 || again.ChargeID != first.ChargeID {
			t.Fatalf("same key again = %+v, want 200 with %s", again, first.ChargeID)
		}
		r.restart()
	}
	if other := r.must("POST", "/v1/charges", "k1", chargeBody("o1", 501)); other.Status != 422 || other.Code != "idempotency_key_reused" {
		t.Fatalf("same key, other body = %+v", other)
	}
	if got := r.must("GET", "/v1/charges/k1", "", ""); got.Status != 200 || got.ChargeID != first.ChargeID {
		t.Fatalf("lookup = %+v", got)
	}
	r.wantKinds("o1", KindCapture)
}

func TestConcurrentChargesWithOneKeyCaptureOnce(t *testing.T) {
	r := newFixture(t)
	var all sync.WaitGroup
	created := make(chan answer, 20)
	for range 20 {
		all.Go(func() {
			if a := r.must("POST", "/v1/charges", "k1", chargeBody("o1", 500)); a.Status == 201 {
				created <- a
			}
		})
	}
	all.Wait()
	if len(created) != 1 {
		t.Fatalf("%d of 20 requests created a charge, want 1", len(created))
	}
	r.wantKinds("o1", KindCapture)
}

func TestVoidAndChargeRace(t *testing.T) {
	r := newFixture(t)
	for i := range 50 {
		order, key := fmt.Sprintf("o%d", i), fmt.Sprintf("k%d", i)
		var (
			both         sync.WaitGroup
			charge, void answer
		)
		both.Go(func() { charge = r.must("POST", "/v1/charges", key, chargeBody(order, 500)) })
		both.Go(func() { void = r.must("POST", "/v1/charges/"+key+"/void", "", `{"orderId":"`+order+`"}`) })
		both.Wait()
		switch {
		case charge.Status == 201 && void.Status == 409 && void.Code == "captured":
			r.wantKinds(order, KindCapture)
		case charge.Status == 409 && charge.Code == "voided" && void.Status == 200 && void.State == "voided":
			r.wantKinds(order, KindVoid)
		default:
			t.Fatalf("charge = %+v, void = %+v", charge, void)
		}
	}
}

func TestVoidOfAnUnknownKeyIsATombstone(t *testing.T) {
	r := newFixture(t)
	if a := r.must("GET", "/v1/charges/k1", "", ""); a.Status != 404 {
		t.Fatalf("lookup before anything = %+v", a)
	}
	for range 2 {
		if a := r.must("POST", "/v1/charges/k1/void", "", ""); a.Status != 200 || a.State != "voided" {
			t.Fatalf("void = %+v", a)
		}
		r.restart()
	}
	if a := r.must("POST", "/v1/charges", "k1", chargeBody("o1", 500)); a.Status != 409 || a.Code != "voided" {
		t.Fatalf("late charge = %+v", a)
	}
	if a := r.must("GET", "/v1/charges/k1", "", ""); a.Status != 200 || a.State != "voided" {
		t.Fatalf("lookup = %+v", a)
	}
}

func TestDecline(t *testing.T) {
	r := newFixture(t)
	r.must("POST", "/faults", "", `{"match":{"customerId":"c1"},"decline":"insufficient_funds","times":1}`)
	for range 2 { // the key stays declined after the rule is used up
		a := r.must("POST", "/v1/charges", "k1", chargeBody("o1", 500))
		if a.State != "declined" || a.Decline != "insufficient_funds" {
			t.Fatalf("charge = %+v", a)
		}
		r.restart()
	}
	if a := r.must("POST", "/v1/charges/k1/void", "", ""); a.Status != 200 || a.State != "declined" {
		t.Fatalf("void of a declined charge = %+v", a)
	}
	if a := r.must("POST", "/v1/refunds", "r1", `{"chargeKey":"k1","amount":1}`); a.Status != 409 || a.Code != "not_captured" {
		t.Fatalf("refund of a declined charge = %+v", a)
	}
	r.wantKinds("o1", KindDecline)
}

func TestRefunds(t *testing.T) {
	r := newFixture(t)
	r.must("POST", "/v1/charges", "k1", chargeBody("o1", 500))
	steps := []struct {
		key, body string
		status    int
		code      string
	}{
		{"r1", `{"chargeKey":"k1","amount":300,"reason":"x"}`, 201, ""},
		{"r1", `{"chargeKey":"k1","amount":300,"reason":"x"}`, 200, ""},
		{"r1", `{"chargeKey":"k1","amount":200,"reason":"x"}`, 422, "idempotency_key_reused"},
		{"r2", `{"chargeKey":"k1","amount":201}`, 409, "over_refund"},
		{"r2", `{"chargeKey":"k1","amount":9223372036854775807}`, 409, "over_refund"},
		{"r3", `{"chargeKey":"k9","amount":1}`, 404, "unknown_charge"},
		{"r4", `{"chargeKey":"k1","amount":0}`, 400, "bad_request"},
		{"", `{"chargeKey":"k1","amount":1}`, 400, "idempotency_key_required"},
		{"r5", `{"chargeKey":"k1","amount":200}`, 201, ""},
		{"r6", `{"chargeKey":"k1","amount":1}`, 409, "over_refund"},
	}
	for _, step := range steps {
		a := r.must("POST", "/v1/refunds", step.key, step.body)
		if a.Status != step.status || a.Code != step.code {
			t.Fatalf("refund %s %s = %+v, want %d %s", step.key, step.body, a, step.status, step.code)
		}
		r.restart()
	}
	if a := r.must("GET", "/v1/charges/k1", "", ""); a.Refunded != 500 {
		t.Fatalf("charge after refunds = %+v", a)
	}
	r.wantKinds("o1", KindCapture, KindRefund, KindRefund)
}

func TestConcurrentRefundsNeverExceedTheCapture(t *testing.T) {
	r := newFixture(t)
	r.must("POST", "/v1/charges", "k1", chargeBody("o1", 500))
	var all sync.WaitGroup
	for i := range 10 {
		all.Go(func() { r.must("POST", "/v1/refunds", fmt.Sprintf("r%d", i), `{"chargeKey":"k1","amount":200}`) })
	}
	all.Wait()
	r.wantKinds("o1", KindCapture, KindRefund, KindRefund)
}

func TestLostAnswerIsApplied(t *testing.T) {
	r := newFixture(t)
	r.must("POST", "/faults", "", `{"match":{"orderId":"o1","operation":"charge"},"answerLost":true}`)
	if a, err := r.send("POST", "/v1/charges", "k1", chargeBody("o1", 500)); err == nil {
		t.Fatalf("got an answer: %+v", a)
	}
	r.restart() // removes the fault, and proves that the charge was durable
	if a := r.must("GET", "/v1/charges/k1", "", ""); a.State != "captured" {
		t.Fatalf("lookup = %+v", a)
	}
	r.must("POST", "/faults", "", `{"match":{"orderId":"o2"},"down":true}`)
	if a, err := r.send("POST", "/v1/charges", "k2", chargeBody("o2", 500)); err == nil {
		t.Fatalf("got an answer: %+v", a)
	}
	r.wantKinds("o1", KindCapture)
	r.wantKinds("o2")
}

func TestLedgerPages(t *testing.T) {
	r := newFixture(t)
	for i := range 5 {
		r.must("POST", "/v1/charges", fmt.Sprintf("k%d", i), chargeBody("o1", 500))
	}
	page, err := r.server.ledger.page(2, 2)
	if err != nil || len(page) != 2 || page[0].Seq != 3 || page[1].Seq != 4 {
		t.Fatalf("page = %+v, %v", page, err)
	}
	if page, _ := r.server.ledger.page(99, 2); len(page) != 0 {
		t.Fatalf("page behind the end = %+v", page)
	}
	for _, query := range []string{"after=x", "after=-1", "limit=0", "limit=10001"} {
		if a := r.must("GET", "/v1/ledger?"+query, "", ""); a.Status != 400 {
			t.Errorf("%s = %+v, want 400", query, a)
		}
	}
}

// TestLedgerOfOneOrder: the charge, refund and void of one order, page by page, and after a restart
// too. The request counts against no rule.
func TestLedgerOfOneOrder(t *testing.T) {
	r := newFixture(t)
	r.must("POST", "/v1/charges", "k1", chargeBody("o1", 500))
	r.must("POST", "/v1/charges", "k2", chargeBody("o2", 500))
	r.must("POST", "/v1/refunds", "r1", `{"chargeKey":"k1","amountMinor":100}`)
	r.must("POST", "/v1/charges/k3/void", "", `{"orderId":"o1"}`)
	r.must("POST", "/v1/charges/k4/void", "", "")
	r.must("POST", "/faults", "", `{"id":"rule","down":true,"times":3}`)
	rules := r.text("/faults")
	for range 2 {
		for query, want := range map[string][]int64{
			"orderId=o1": {1, 3, 4}, "orderId=o2": {2}, "orderId=o3": {}, "orderId=o1&limit=2": {1, 3},
			"orderId=o1&after=1": {3, 4}, "orderId=o1&after=2&limit=1": {3}, "orderId=o1&after=99": {},
		} {
			var page struct{ Entries []entryView }
			if err := json.Unmarshal([]byte(r.text("/v1/ledger?"+query)), &page); err != nil {
				t.Fatal(err)
			}
			got := []int64{}
			for _, e := range page.Entries {
				got = append(got, e.Seq)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s: %s", query, diff)
			}
		}
		if now := r.text("/faults"); now != rules {
			t.Errorf("the question counts: %s, before %s", now, rules)
		}
		r.restart()
		rules = r.text("/faults")
	}
	if a := r.must("GET", "/v1/ledger?orderId=", "", ""); a.Status != 400 {
		t.Errorf("an empty order: %+v, want 400", a)
	}
}

func TestBadRequestsChangeNothing(t *testing.T) {
	r := newFixture(t)
	for _, body := range []string{
		``, `{`, `[]`, `{"orderId":"o1"}`, chargeBody("o1", 0), chargeBody("o1", -1), chargeBody("", 1),
		`{"orderId":"o1","amount":1.5,"currency":"EUR"}`, `{"orderId":"o1","amount":1,"currency":"EURO"}`,
		`{"orderId":"o1","amount":1,"currency":"EUR","card":"4111"}`, chargeBody("o1", 1) + `x`,
	} {
		if a := r.must("POST", "/v1/charges", "k1", body); a.Status != 400 {
			t.Errorf("%s = %+v, want 400", body, a)
		}
	}
	if entries := r.ledger(); len(entries) != 0 {
		t.Fatalf("ledger = %+v", entries)
	}
}
