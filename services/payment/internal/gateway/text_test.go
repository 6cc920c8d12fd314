package gateway_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"eventshop.example/pkg/errs"
	"eventshop.example/services/payment/internal/gateway"
)

// answering starts a gateway that returns the same answer to every request.
func answering(t *testing.T, status int, body map[string]any) *gateway.Client {
	t.Helper()
	raw, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	return saysRaw(t, status, string(raw))
}

func saysRaw(t *testing.T, status int, body string) *gateway.Client {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(server.Close)
	return gateway.New(server.URL, time.Second, patient())
}

// TestAnUnusableIDIsNoAnswer: it could not be stored, and a changed id would name something else.
// The money may have moved, so the outcome is unknown and the record is not lost.
func TestAnUnusableIDIsNoAnswer(t *testing.T) {
	t.Parallel()
	for name, id := range map[string]string{
		"empty": "", "NUL": "ch\x00-1", "control character": "ch\x1b-1", "line break": "ch-1\n", "space": "ch 1",
		"no UTF-8": "ch-\uFFFD", "endless": strings.Repeat("1", 129), "direction override": "ch-\u202e1",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			capture := map[string]any{"status": "captured", "chargeId": id, "amount": 2999, "currency": "EUR"}
			expectKind(t, errs.Transient, charge, answering(t, http.StatusOK, capture))
			expectKind(t, errs.Transient, void, answering(t, http.StatusConflict, map[string]any{"code": "captured", "charge": capture}))
			expectKind(t, errs.Transient, refund, answering(t, http.StatusOK, map[string]any{"status": "refunded", "refundId": id, "currency": "EUR"}))
		})
	}
	expectKind(t, errs.Transient, charge, saysRaw(t, http.StatusOK, "{\"status\":\"captured\",\"chargeId\":\"ch-\xff\",\"amount\":2999,\"currency\":\"EUR\"}"))
}

func TestAnUnusableCurrencyIsNoAnswer(t *testing.T) {
	t.Parallel()
	for _, currency := range []string{"", "EU", "eur", "EU\x00", "EUROS", "ÉU"} {
		expectKind(t, errs.Transient, charge, answering(t, http.StatusOK,
			map[string]any{"status": "captured", "chargeId": "ch-1", "amount": 2999, "currency": currency}))
		expectKind(t, errs.Transient, refund, answering(t, http.StatusOK,
			map[string]any{"status": "refunded", "refundId": "re-1", "currency": currency}))
	}
}

// TestARefundWithAnUnusableIDIsFoundByKey: the charge shows that the money is returned.
func TestARefundWithAnUnusableIDIsFoundByKey(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := `{"status":"captured","chargeId":"ch-1","amount":2999,"currency":"EUR","refunded":2999}`
		if r.Method == http.MethodPost {
			body = `{"status":"refunded","refundId":"re\u0000","currency":"EUR"}`
		}
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(server.Close)
	byKey := refunded
	byKey.RefundID = refundKey
	expect(t, byKey, refund, gateway.New(server.URL, time.Second, patient()))
}

// TestWordsAreTidied: codes are stored, so they are tidied. The ids of a decline are not needed, so
// unusable ones are dropped.
func TestWordsAreTidied(t *testing.T) {
	t.Parallel()
	c := answering(t, http.StatusOK, map[string]any{
		"status": "declined", "chargeId": "ch\x00", "amount": 2999, "currency": "\x00", "declineCode": "a\x00b\r\nc" + strings.Repeat("é", 500),
	})
	got, err := charge(c)
	if err != nil || got.Outcome != gateway.Declined || got.ChargeID != "" || got.Currency != "" {
		t.Fatalf("got %+v, %v", got, err)
	}
	if !strings.HasPrefix(got.DeclineCode, "ab  cé") || len(got.DeclineCode) > 510 || !utf8.ValidString(got.DeclineCode) {
		t.Errorf("code %q", got.DeclineCode)
	}
	if got := gateway.Tidy("\xff\x00a\u0085b\x7f"); got != "\uFFFDa b" {
		t.Errorf("tidied to %q", got)
	}
}
