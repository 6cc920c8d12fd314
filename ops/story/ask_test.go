package story

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestTheGatewaysBooks reads a ledger in minor units, the older form, and one with exact decimals
// and named integers. No other request goes to the gateway: a lookup of the charge would use up
// planted faults.
func TestTheGatewaysBooks(t *testing.T) {
	t.Parallel()
	const key = chargeOf + theOrder
	captured := &Charge{Status: "captured", Amount: "29.99", Refunded: "5.00", Currency: "GBP"}
	for name, c := range map[string]struct {
		ledger string
		want   *Charge
	}{
		"charge":                 {`[{"seq":1,"kind":"capture","key":"` + key + `","amount":2999,"currency":"GBP"},{"seq":3,"kind":"refund","key":"r","chargeKey":"` + key + `","amount":500,"currency":"GBP"}]`, captured},
		"charge, named integers": {`[{"seq":1,"kind":"capture","key":"` + key + `","amount":2999,"amountMinor":2999,"currency":"GBP"},{"seq":3,"kind":"refund","key":"r","chargeKey":"` + key + `","amount":500,"amountMinor":500,"currency":"GBP"}]`, captured},
		"yen":                    {`[{"seq":1,"kind":"capture","key":"` + key + `","amountMinor":500,"currency":"JPY"}]`, &Charge{Status: "captured", Amount: "500", Refunded: "0", Currency: "JPY"}},
		"ledger": {`[{"seq":1,"kind":"capture","key":"charge-another","amount":100,"currency":"GBP"},
			{"seq":2,"kind":"capture","key":"` + key + `","amount":2999,"currency":"GBP"},
			{"seq":3,"kind":"refund","key":"refund-1","chargeKey":"` + key + `","amount":200,"currency":"GBP"},
			{"seq":4,"kind":"refund","key":"refund-2","chargeKey":"` + key + `","amount":300,"currency":"GBP"}]`, captured},
		"ledger, exact decimals": {`[{"seq":2,"kind":"capture","key":"` + key + `","amount":29.99,"amountMinor":2999,"currency":"GBP"},
			{"seq":3,"kind":"refund","key":"r","chargeKey":"` + key + `","amount":5.00,"amountMinor":500,"currency":"GBP"}]`, captured},
		"ledger, declined": {`[{"seq":2,"kind":"decline","key":"` + key + `","amount":2999,"currency":"GBP","declineCode":"stolen"}]`,
			&Charge{Status: "declined", Amount: "29.99", Refunded: "0.00", Currency: "GBP", DeclineCode: "stolen"}},
		"ledger, voided": {`[{"seq":2,"kind":"void","key":"` + key + `","amount":0,"currency":""}]`, &Charge{Status: "voided", Amount: "0.00", Refunded: "0.00"}},
		"nothing":        {`[{"seq":2,"kind":"void","key":"charge-another"}]`, nil},
		"no entry":       {`[]`, nil},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			query := r.URL.Query()
			switch {
			case r.Method != http.MethodGet || r.URL.Path != "/v1/ledger" || query.Get("orderId") != theOrder:
				t.Errorf("%s: the gateway is asked for %s", name, r.URL)
				w.WriteHeader(http.StatusServiceUnavailable)
			case query.Get("after") == "0":
				w.Write([]byte(`{"entries":` + c.ledger + `}`))
			default:
				w.Write([]byte(`{"entries":[]}`))
			}
		}))
		reader := &Reader{src: Sources{URL: map[string]string{"gateway": server.URL}}}
		got, err := reader.charge(t.Context(), theOrder)
		server.Close()
		if diff := cmp.Diff(c.want, got); err != nil || diff != "" {
			t.Errorf("%s: %v %s", name, err, diff)
		}
	}
	gone := httptest.NewServer(http.NotFoundHandler())
	reader := &Reader{src: Sources{URL: map[string]string{"gateway": gone.URL}}}
	if got, err := reader.charge(t.Context(), theOrder); got != nil || err != nil {
		t.Errorf("no charge: %+v %v", got, err)
	}
	gone.Close()
	if _, err := reader.charge(t.Context(), theOrder); err == nil {
		t.Error("a gateway that is away has no charge")
	}
	if b, err := json.Marshal(captured); err != nil || string(b) != `{"status":"captured","amount":29.99,"refunded":5.00,"currency":"GBP"}` {
		t.Errorf("%s %v", b, err)
	}
}

// TestTheMail is asked of the notification service; an order without one has none.
func TestTheMail(t *testing.T) {
	t.Parallel()
	answer := `{"orderId":"` + theOrder + `","status":"SENT","style":"state","attempts":2,"to":"ada@example.com","subject":"Your order","text":"Hello","endedAt":"2026-11-30T12:00:00Z"}`
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && r.URL.Path == "/mails/"+theOrder {
			w.Write([]byte(answer))
			return
		}
		http.NotFound(w, r)
	}))
	defer server.Close()
	reader := &Reader{src: Sources{URL: map[string]string{"notification": server.URL}}}
	s := Story{OrderID: theOrder}
	_, _ = reader.look(t.Context(), &s) // the other services have no address
	ended := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	want := &Mail{Status: "SENT", Style: "state", Attempts: 2, To: "ada@example.com", Subject: "Your order", EndedAt: &ended}
	if diff := cmp.Diff(want, s.Mail); diff != "" {
		t.Error(diff)
	}
	another := Story{OrderID: "another"}
	if _, _ = reader.look(t.Context(), &another); another.Mail != nil {
		t.Errorf("%+v", another.Mail)
	}
}
