package gateway

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// text returns the raw answer to a GET, because a JSON decoder hides how a number is written.
func (r *fixture) text(path string) string {
	r.t.Helper()
	res, err := http.Get(r.http.URL + path)
	if err != nil {
		r.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		r.t.Fatalf("GET %s: %s %s %v", path, res.Status, body, err)
	}
	return string(body)
}

// TestAnAmountHasTwoNames: a rolling upgrade mixes clients and gateways of two releases. The old
// name still means minor units, and both names make the same request.
func TestAnAmountHasTwoNames(t *testing.T) {
	r := newFixture(t)
	steps := []struct {
		path, key, body string
		status          int
	}{
		{"/v1/charges", "old", `{"orderId":"o1","customerId":"c1","amount":9999,"currency":"GBP"}`, 201},
		{"/v1/charges", "old", `{"orderId":"o1","customerId":"c1","amountMinor":9999,"currency":"GBP"}`, 200},
		{"/v1/charges", "new", `{"orderId":"o2","customerId":"c1","amountMinor":9999,"currency":"GBP"}`, 201},
		{"/v1/charges", "new", `{"orderId":"o2","customerId":"c1","amount":9999,"currency":"GBP"}`, 200},
		{"/v1/charges", "new", `{"orderId":"o2","customerId":"c1","amount":9999,"amountMinor":9999,"currency":"GBP"}`, 200},
		{"/v1/charges", "new", `{"orderId":"o2","customerId":"c1","amountMinor":999900,"currency":"GBP"}`, 422},
		{"/v1/charges", "k3", `{"orderId":"o3","customerId":"c1","amount":99,"amountMinor":9999,"currency":"GBP"}`, 400},
		{"/v1/charges", "k4", `{"orderId":"o3","customerId":"c1","amount":99.99,"currency":"GBP"}`, 400},
		{"/v1/charges", "k5", `{"orderId":"o3","customerId":"c1","amountMinor":99.99,"currency":"GBP"}`, 400},
		{"/v1/charges", "k6", `{"orderId":"o3","customerId":"c1","amountMinor":"9999","currency":"GBP"}`, 400},
		{"/v1/charges", "k7", `{"orderId":"o3","customerId":"c1","amountMinor":0,"currency":"GBP"}`, 400},
		{"/v1/refunds", "r1", `{"chargeKey":"old","amountMinor":5000}`, 201},
		{"/v1/refunds", "r1", `{"chargeKey":"old","amount":5000}`, 200},
		{"/v1/refunds", "r2", `{"chargeKey":"old","amount":4999}`, 201},
		{"/v1/refunds", "r3", `{"chargeKey":"new","amount":1,"amountMinor":2}`, 400},
	}
	for _, step := range steps {
		if a := r.must("POST", step.path, step.key, step.body); a.Status != step.status {
			t.Errorf("%s %s: %+v, want %d", step.key, step.body, a, step.status)
		}
	}
	for _, want := range []string{`"amount":9999`, `"amountMinor":9999`, `"refunded":9999`, `"refundedMinor":9999`} {
		if got := r.text("/v1/charges/old"); !strings.Contains(got, want) {
			t.Errorf("no %s in %s", want, got)
		}
	}
}

// TestAPaymentProcessOfTheReleaseBeforeReadsEveryAnswer decodes answers as the previous release
// does: one struct for all of them, in which status is a text and amounts are integers in minor
// units.
func TestAPaymentProcessOfTheReleaseBeforeReadsEveryAnswer(t *testing.T) {
	type charge struct {
		ChargeID    string `json:"chargeId"`
		Status      string `json:"status"`
		DeclineCode string `json:"declineCode"`
		Amount      int64  `json:"amount"`
		Currency    string `json:"currency"`
		Refunded    int64  `json:"refunded"`
	}
	type answer struct {
		charge
		RefundID string  `json:"refundId"`
		Code     string  `json:"code"`
		Charge   *charge `json:"charge"`
	}
	r := newFixture(t)
	const body = `{"orderId":"o1","customerId":"c1","amount":9999,"currency":"GBP"}`
	captured := charge{ChargeID: "ch_00000001", Status: "captured", Amount: 9999, Currency: "GBP"}
	refunded := captured
	refunded.Refunded = 9999
	for _, step := range []struct {
		method, path, key, body string
		status                  int
		want                    answer
	}{
		{"POST", "/v1/charges", "k1", body, 201, answer{charge: captured}},
		{"POST", "/v1/charges", "k1", body, 200, answer{charge: captured}},
		{"POST", "/v1/charges/k1/void", "", "", 409, answer{Code: "captured", Charge: &captured}},
		{"POST", "/v1/refunds", "r1", `{"chargeKey":"k1","amount":9999,"reason":"x"}`, 201,
			answer{charge: charge{Status: "refunded", Amount: 9999, Currency: "GBP"}, RefundID: "re_00000002"}},
		{"GET", "/v1/charges/k1", "", "", 200, answer{charge: refunded}},
		{"POST", "/v1/charges/k2/void", "", "", 200, answer{charge: charge{Status: "voided"}}},
		{"POST", "/v1/charges", "k2", body, 409, answer{Code: "voided"}},
		{"POST", "/v1/refunds", "r2", `{"chargeKey":"k1","amount":1,"reason":"x"}`, 409, answer{Code: "over_refund"}},
		{"GET", "/v1/charges/k9", "", "", 404, answer{Code: "unknown_charge"}},
		{"POST", "/v1/charges", "k3", `{"orderId":""}`, 400, answer{Code: "bad_request"}},
	} {
		req, err := http.NewRequest(step.method, r.http.URL+step.path, strings.NewReader(step.body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Idempotency-Key", step.key)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		var got answer
		if err := json.Unmarshal(raw, &got); err != nil || res.StatusCode != step.status {
			t.Errorf("%s %s: %s %s: %v", step.method, step.path, res.Status, raw, err)
		}
		if diff := cmp.Diff(step.want, got, cmp.AllowUnexported(answer{})); diff != "" {
			t.Errorf("%s %s (-want +got):\n%s", step.method, step.path, diff)
		}
	}
}

// TestAJournalOfTheReleaseBeforeIsReplayed: the form of the file stays the same, and a key keeps
// its request whichever name a repeated amount uses.
func TestAJournalOfTheReleaseBeforeIsReplayed(t *testing.T) {
	old, err := os.ReadFile(filepath.Join("testdata", "amounts-in-minor-units.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	r := newFixture(t)
	r.close()
	if err := os.WriteFile(filepath.Join(r.folder, "gateway.jsonl"), old, 0o600); err != nil {
		t.Fatal(err)
	}
	r.open()
	for _, body := range []string{
		`{"orderId":"o1","customerId":"c1","amount":9999,"currency":"GBP"}`,
		`{"orderId":"o1","customerId":"c1","amountMinor":9999,"currency":"GBP"}`,
	} {
		if a := r.must("POST", "/v1/charges", "charge-o1", body); a.Status != 200 || a.Refunded != 9999 {
			t.Errorf("%s again: %+v", body, a)
		}
	}
	if a := r.must("POST", "/v1/refunds", "refund-o1", `{"chargeKey":"charge-o1","amountMinor":9999,"reason":"customer"}`); a.Status != 200 {
		t.Errorf("the refund again: %+v", a)
	}
	ledger := r.text("/v1/ledger")
	for _, want := range []string{
		`"currency":"GBP","fingerprint":"24a1df9388b4b3aba2dc4e7bdbf6f9f5","amount":99.99,"amountMinor":9999}`, // a capture
		`"amount":500,"amountMinor":500}`,    // of yen
		`"amount":1.005,"amountMinor":1005}`, // a decline of dinars
		`"kind":"void"`,
	} {
		if !strings.Contains(ledger, want) {
			t.Errorf("no %s in %s", want, ledger)
		}
	}
	if n := strings.Count(ledger, `"amount":`); n != 4 {
		t.Errorf("%d of 5 entries have an amount, want 4: a void moves no money: %s", n, ledger)
	}
	r.restart() // entries of this release are read as well
	if again := r.text("/v1/ledger"); again != ledger {
		t.Errorf("after a restart: %s", again)
	}
}
