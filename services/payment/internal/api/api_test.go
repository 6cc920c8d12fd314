package api_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
)

const at = "2026-01-02T03:04:05Z"

const refundFailed = `state = 'REFUND_FAILED', version = 2, customer_id = 'cust-7', amount = 2999, currency = 'EUR',
	charge_id = 'ch-1', reason = 'customer', attempts = 8, last_error = 'the gateway answered 503', attention = '8 attempts'`

func TestGetPayment(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	tests := map[string]struct {
		set  string
		want string // without orderId, paymentId and the times
	}{
		"tombstone that knows no amount": {
			`state = 'VOIDED', version = 1, reason = 'deadline', saga_style = 'orchestrated'`,
			`{"status":"VOIDED","saga":"orchestrated","version":1,"reason":"deadline","attempts":0,"needsAttention":false,"history":[]}`,
		},
		"completed": {
			`state = 'COMPLETED', version = 1, amount = 2999, currency = 'EUR', charge_id = 'ch-1'`,
			`{"status":"COMPLETED","saga":"choreographed","version":1,"amount":29.99,"captured":29.99,"currency":"EUR","chargeId":"ch-1","attempts":0,"needsAttention":false,"history":[]}`,
		},
		"a currency without decimals": {
			`state = 'REFUNDED', version = 2, amount = 2999, currency = 'JPY', charge_id = 'ch-1', refund_id = 're-1', reason = 'customer', attempts = 1`,
			`{"status":"REFUNDED","saga":"choreographed","version":2,"amount":2999,"captured":2999,"refunded":2999,"currency":"JPY","chargeId":"ch-1","refundId":"re-1","reason":"customer","attempts":1,"needsAttention":false,"history":[]}`,
		},
		"more than a float holds": {
			`state = 'COMPLETED', version = 1, amount = 9007199254740993, currency = 'EUR', charge_id = 'ch-1'`,
			`{"status":"COMPLETED","saga":"choreographed","version":1,"amount":90071992547409.93,"captured":90071992547409.93,"currency":"EUR","chargeId":"ch-1","attempts":0,"needsAttention":false,"history":[]}`,
		},
		"declined": {
			`state = 'FAILED', version = 1, amount = 2999, currency = 'EUR', decline_code = 'insufficient_funds'`,
			`{"status":"FAILED","saga":"choreographed","version":1,"amount":29.99,"currency":"EUR","declineCode":"insufficient_funds","attempts":0,"needsAttention":false,"history":[]}`,
		},
		"needs attention": {
			refundFailed,
			`{"status":"REFUND_FAILED","saga":"choreographed","version":2,"amount":29.99,"captured":29.99,"currency":"EUR","chargeId":"ch-1","reason":"customer","attempts":8,"lastError":"the gateway answered 503","needsAttention":true,"attention":"8 attempts","history":[]}`,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			id := f.row(tt.set)
			status, _, body := f.do(http.MethodGet, "/payments/"+id)
			if status != http.StatusOK {
				t.Fatalf("%d %s", status, body)
			}
			got := object(t, body)
			if string(got["orderId"]) != `"`+id+`"` || string(got["paymentId"]) != `"payment-`+id+`"` || string(got["createdAt"]) != `"`+at+`"` {
				t.Errorf("ids or times: %s", body)
			}
			for _, field := range []string{"orderId", "paymentId", "createdAt", "updatedAt"} {
				delete(got, field)
			}
			if diff := cmp.Diff(texts(object(t, tt.want)), texts(got)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func object(t *testing.T, body string) map[string]json.RawMessage {
	t.Helper()
	var o map[string]json.RawMessage
	if err := json.Unmarshal([]byte(body), &o); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return o
}

// texts keeps the digits as they were sent.
func texts(o map[string]json.RawMessage) map[string]string {
	s := map[string]string{}
	for name, v := range o {
		s[name] = string(v)
	}
	return s
}

func TestRetryRefund(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := f.row(refundFailed)
	path := "/payments/" + id + "/refund-retry"
	status, _, first := f.do(http.MethodPost, path, "Idempotency-Key", "k1")
	if status != http.StatusAccepted {
		t.Fatalf("%d %s", status, first)
	}
	got := object(t, first)
	if string(got["status"]) != `"REFUNDING"` || string(got["needsAttention"]) != "false" || string(got["attempts"]) != "0" ||
		string(got["nextAttemptAt"]) != `"`+at+`"` || !strings.Contains(string(got["history"]), `"input":"RetryRefund","status":"REFUNDING"`) {
		t.Errorf("answer %s", first)
	}

	// The same key gets the same answer, although the payment has changed meanwhile.
	_, err := f.pool.Exec(context.Background(), `UPDATE payments SET state = 'REFUNDED', refund_id = 're-1', next_attempt_at = NULL`)
	if err != nil {
		t.Fatal(err)
	}
	status, header, again := f.do(http.MethodPost, path, "Idempotency-Key", "k1")
	if status != http.StatusAccepted || again != first || header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("replay: %d %v %s", status, header, again)
	}
	if status, _, body := f.do(http.MethodPost, path, "Idempotency-Key", "k2"); status != http.StatusConflict || !strings.Contains(body, "REFUNDED") {
		t.Errorf("another key: %d %s", status, body)
	}
}

func TestBadInputIsAProblemNamingTheField(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	unknown := uuid.Must(uuid.NewV7()).String()
	completed := f.row(`state = 'COMPLETED', version = 1, amount = 2999, currency = 'EUR', charge_id = 'ch-1'`)
	tests := map[string]struct {
		method, path string
		status       int
		names        string
	}{
		"unknown payment":         {http.MethodGet, "/payments/" + unknown, http.StatusNotFound, unknown},
		"unknown payment, retry":  {http.MethodPost, "/payments/" + unknown + "/refund-retry", http.StatusNotFound, unknown},
		"malformed id":            {http.MethodGet, "/payments/%27--", http.StatusBadRequest, "orderId"},
		"malformed id, retry":     {http.MethodPost, "/payments/42/refund-retry", http.StatusBadRequest, "orderId"},
		"nothing to retry":        {http.MethodPost, "/payments/" + completed + "/refund-retry", http.StatusConflict, "COMPLETED"},
		"unknown query parameter": {http.MethodGet, "/payments/" + completed + "?verbose=1", http.StatusBadRequest, "verbose"},
		"wrong method":            {http.MethodDelete, "/payments/" + completed, http.StatusMethodNotAllowed, ""},
		"unknown path":            {http.MethodGet, "/payment/" + completed, http.StatusNotFound, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			status, header, body := f.do(tt.method, tt.path)
			if status != tt.status || header.Get("Content-Type") != "application/problem+json" || !strings.Contains(body, tt.names) {
				t.Errorf("%d %s %s", status, header.Get("Content-Type"), body)
			}
		})
	}
}
