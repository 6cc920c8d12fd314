package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"eventshop.example/pkg/kafkatest"
)

const (
	draft   = `{"draft": true, "customer": {"id": "cust-7", "name": "Ada Lovelace", "email": "ada@example.com"}, "currency": "GBP"}`
	widget  = `{"sku": "WIDGET-01", "quantity": 2, "unitPrice": 29.99}`
	gadget  = `{"sku": "GADGET-05", "quantity": 1, "unitPrice": 40.01}`
	babbage = `{"street": "123 Babbage Lane", "city": "London", "postalCode": "SW1A 1AA"}`
)

// start returns the path and the ETag of a new draft.
func (f *fixture) start(body string) (path, tag string) {
	f.t.Helper()
	a := f.do("POST", "/orders", body)
	if a.Status != http.StatusCreated || a.Body["status"] != "DRAFT" {
		f.t.Fatalf("start: %d %s", a.Status, a.Text)
	}
	return a.Header.Get("Location"), a.Header.Get("ETag")
}

// edit sends a command for the version of the tag, which must be accepted, and returns the new tag.
func (f *fixture) edit(method, path, body, tag string) string {
	f.t.Helper()
	a := f.do(method, path, body, "If-Match", tag)
	if a.Status != http.StatusOK || a.Header.Get("ETag") == tag {
		f.t.Fatalf("%s %s: %d %s", method, path, a.Status, a.Text)
	}
	return a.Header.Get("ETag")
}

// TestALifeOfADraft: nothing is published about a draft. Placed, it is as an order that was placed at
// once, and its deadline and saga begin.
func TestALifeOfADraft(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	path, tag := f.start(draft)
	tag = f.edit("POST", path+"/items", gadget, tag)
	tag = f.edit("POST", path+"/items", `{"sku": "WIDGET-01", "quantity": 9, "unitPrice": 1}`, tag)
	tag = f.edit("POST", path+"/items", `{"sku": "EXTRA", "quantity": 1, "unitPrice": 5}`, tag)
	tag = f.edit("PUT", path+"/items/WIDGET-01", `{"quantity": 2, "unitPrice": 29.99}`, tag)
	tag = f.edit("DELETE", path+"/items/EXTRA", "", tag)
	tag = f.edit("PUT", path+"/address", babbage, tag)
	a := f.do("GET", path, "")
	if a.Header.Get("ETag") != tag || a.Body["totalAmount"] != json.Number("99.99") || a.Body["placedAt"] != nil || a.Body["startedAt"] == nil {
		t.Errorf("the draft is %s with tag %s", a.Text, a.Header.Get("ETag"))
	}
	for _, table := range []string{"outbox", "saga_deadlines", "sagas"} {
		if n := f.count(table); n != 0 {
			t.Errorf("%d rows in %s before the order is placed", n, table)
		}
	}
	placed := f.do("POST", path+"/place", `{"confirmWithinSeconds": 60}`, "If-Match", tag)
	if placed.Status != http.StatusOK || placed.Body["status"] != "PENDING" || placed.Header.Get("Order-Version") != placed.Body["version"].(json.Number).String() {
		t.Fatalf("placed: %d %s", placed.Status, placed.Text)
	}
	for _, table := range []string{"saga_deadlines", "sagas"} {
		if n := f.count(table); n != 1 {
			t.Errorf("%d rows in %s, want 1", n, table)
		}
	}
	var published []string
	if err := f.pool.QueryRow(t.Context(), `SELECT array_agg(event_type ORDER BY seq) FROM outbox WHERE topic <> 'order.snapshots'`).Scan(&published); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"OrderCreated", "OrderPlaced"}, published); diff != "" {
		t.Errorf("published (-want +got):\n%s", diff)
	}
	at := func(o map[string]any) map[string]any {
		for _, field := range []string{"orderId", "version", "placedAt", "confirmBy", "items"} {
			delete(o, field) // the items are in another order
		}
		return o
	}
	once := f.do("POST", "/orders", cart)
	if diff := cmp.Diff(at(once.Body), at(placed.Body)); diff != "" {
		t.Errorf("(-placed at once +from a draft):\n%s", diff)
	}
	if a := f.do("GET", path+"?version=3", ""); a.Body["status"] != "DRAFT" || len(a.Body["items"].([]any)) != 2 {
		t.Errorf("at version 3: %s", a.Text)
	}
}

// TestTwoEditors: the second of two editors gets 412 with the version that the first has made, and
// loses nothing of either when it tries again.
func TestTwoEditors(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	path, tag := f.start(draft)
	now := f.edit("POST", path+"/items", widget, tag)
	late := f.do("POST", path+"/items", gadget, "If-Match", tag)
	if late.Status != http.StatusPreconditionFailed || late.Header.Get("ETag") != now || late.Body["currentVersion"] != json.Number("2") {
		t.Fatalf("the late editor gets %d %s %s", late.Status, late.Header.Get("ETag"), late.Text)
	}
	f.edit("POST", path+"/items", gadget, late.Header.Get("ETag"))

	// Many at once: each version is made by one of them.
	var wg sync.WaitGroup
	var mu sync.Mutex
	accepted := 0
	for i := range 8 {
		wg.Go(func() {
			a := f.do("POST", path+"/items", fmt.Sprintf(`{"sku": "S-%d", "quantity": 1, "unitPrice": 1}`, i), "If-Match", `"3"`)
			mu.Lock()
			defer mu.Unlock()
			switch a.Status {
			case http.StatusOK:
				accepted++
			case http.StatusPreconditionFailed:
			default:
				t.Errorf("answered with %d %s", a.Status, a.Text)
			}
		})
	}
	wg.Wait()
	if accepted != 1 {
		t.Errorf("%d editors were accepted at one version", accepted)
	}
	for _, other := range []string{`"99"`, `W/"4"`, "4", `"x"`} {
		if a := f.do("DELETE", path+"/items/WIDGET-01", "", "If-Match", other); a.Status != http.StatusPreconditionFailed {
			t.Errorf("If-Match %s: %d %s", other, a.Status, a.Text)
		}
	}
	if a := f.do("DELETE", path+"/items/WIDGET-01", "", "If-Match", "*"); a.Status != http.StatusOK {
		t.Errorf("If-Match *: %d %s", a.Status, a.Text)
	}
}

// TestADraftsRules: a command that the draft does not allow is answered with 409, and the problem names
// the rule. Nothing is written.
func TestADraftsRules(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	empty, _ := f.start(draft)
	full, tag := f.start(strings.Replace(draft, `"currency"`, `"items": [`+widget+`], "shippingAddress": `+babbage+`, "currency"`, 1))
	gone, _ := f.start(draft)
	f.edit("DELETE", gone, "", "*")
	placed := f.place()
	for name, c := range map[string]struct{ method, path, body, rule string }{
		"place without items":        {"POST", empty + "/place", "", "an-order-has-items"},
		"change what is not there":   {"PUT", empty + "/items/A", `{"quantity": 1, "unitPrice": 1}`, "no-such-item"},
		"remove what is not there":   {"DELETE", empty + "/items/A", "", "no-such-item"},
		"add what is there":          {"POST", full + "/items", widget, "one-line-per-sku"},
		"add what cannot be charged": {"POST", full + "/items", `{"sku": "A", "quantity": 1, "unitPrice": 10000000000000}`, "amount-can-be-charged"},
		"change what was discarded":  {"POST", gone + "/items", widget, "only-drafts-change"},
		"place what was discarded":   {"POST", gone + "/place", "", "only-drafts-change"},
		"change what was placed":     {"PUT", "/orders/" + placed + "/address", babbage, "only-drafts-change"},
		"discard what was placed":    {"DELETE", "/orders/" + placed, "", "only-drafts-change"},
	} {
		before := f.count("events")
		a := f.do(c.method, c.path, c.body, "If-Match", "*")
		if a.Status != http.StatusConflict || a.Body["rule"] != c.rule || f.count("events") != before {
			t.Errorf("%s: %d %s", name, a.Status, a.Text)
		}
	}
	if a := f.do("POST", empty+"/cancel", ""); a.Status != http.StatusConflict {
		t.Errorf("cancel of a draft: %d %s", a.Status, a.Text)
	}
	if a := f.do("PUT", full+"/address", babbage, "If-Match", tag); a.Status != http.StatusOK || a.Header.Get("ETag") != tag {
		t.Errorf("what changes nothing: %d %s %s, want the same version", a.Status, a.Header.Get("ETag"), a.Text)
	}
}

// TestADraftsKeys: a repeated command is answered as the first time, though its version is past.
func TestADraftsKeys(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	first := f.do("POST", "/orders", draft, "Idempotency-Key", "start")
	again := f.do("POST", "/orders", draft, "Idempotency-Key", "start")
	if first.Text != again.Text || again.Header.Get("ETag") != first.Header.Get("ETag") || again.Header.Get("Location") != first.Header.Get("Location") {
		t.Errorf("started as %s, again as %s", first.Text, again.Text)
	}
	path, tag := first.Header.Get("Location"), first.Header.Get("ETag")
	for _, c := range []struct{ method, path, body string }{
		{"POST", path + "/items", widget}, {"PUT", path + "/items/WIDGET-01", `{"quantity": 5, "unitPrice": 1}`},
		{"PUT", path + "/address", babbage}, {"POST", path + "/place", ""},
	} {
		first := f.do(c.method, c.path, c.body, "If-Match", tag, "Idempotency-Key", c.path)
		again := f.do(c.method, c.path, c.body, "If-Match", tag, "Idempotency-Key", c.path)
		if first.Status != http.StatusOK || first.Text != again.Text || first.Header.Get("ETag") != again.Header.Get("ETag") {
			t.Errorf("%s %s: %d %s, again %d %s", c.method, c.path, first.Status, first.Text, again.Status, again.Text)
		}
		tag = first.Header.Get("ETag")
	}
}

// TestTheListOfDrafts: the list follows the streams. Its pages stay right while drafts come and go.
func TestTheListOfDrafts(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = f.app.RunDraftList(ctx) }()
	defer func() { stop(); <-ended }()

	var paths []string
	for range 5 {
		path, _ := f.start(draft)
		paths = append(paths, path)
	}
	f.start(strings.Replace(draft, "cust-7", "cust-8", 1))
	f.edit("POST", paths[0]+"/items", widget, "*")
	list := func(query string) (ids []string, next string, text string) {
		a := f.do("GET", "/orders?draft=true"+query, "")
		if a.Status != http.StatusOK {
			t.Fatalf("list%s: %d %s", query, a.Status, a.Text)
		}
		for _, d := range a.Body["drafts"].([]any) {
			ids = append(ids, "/orders/"+d.(map[string]any)["orderId"].(string))
		}
		next, _ = a.Body["nextCursor"].(string)
		return ids, next, a.Text
	}
	kafkatest.Eventually(t, "all drafts in the list, with the item", func() bool {
		ids, _, text := list("")
		return len(ids) == 6 && strings.Contains(text, `"totalAmount":59.98`)
	})
	page, next, _ := list("&customerId=cust-7&limit=2")
	if diff := cmp.Diff([]string{paths[4], paths[3]}, page); diff != "" {
		t.Errorf("first page (-want +got):\n%s", diff)
	}
	f.start(draft) // is before the first page
	f.edit("DELETE", paths[2], "", "*")
	f.edit("PUT", paths[1]+"/address", babbage, "*")
	kafkatest.Eventually(t, "the discarded draft to leave the list", func() bool {
		ids, _, _ := list("&limit=500")
		return len(ids) == 6 && !strings.Contains(strings.Join(ids, " "), paths[2])
	})
	page, next, _ = list("&customerId=cust-7&limit=2&cursor=" + next)
	if diff := cmp.Diff([]string{paths[1], paths[0]}, page); diff != "" || next != "" {
		t.Errorf("second page, then %q (-want +got):\n%s", next, diff)
	}
	f.edit("POST", paths[1]+"/items", widget, "*")
	f.edit("POST", paths[1]+"/place", "", "*")
	kafkatest.Eventually(t, "the placed draft to leave the list", func() bool { ids, _, _ := list(""); return len(ids) == 5 })
}

// TestAPlacedDraftBeginsWithASnapshot: a process of the release before knows no events of drafts. It
// reads the order from its snapshot on, when it handles the events of other services in a roll.
func TestAPlacedDraftBeginsWithASnapshot(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	path, _ := f.start(strings.Replace(draft, `"currency"`, `"items": [`+widget+`], "shippingAddress": `+babbage+`, "currency"`, 1))
	placed := f.do("POST", path+"/place", "", "If-Match", "*")
	var unread int
	err := f.pool.QueryRow(t.Context(), `SELECT count(*) FROM events e WHERE event_type LIKE 'Draft%'
		AND NOT EXISTS (SELECT FROM snapshots s WHERE s.stream_id = e.stream_id AND s.version >= e.version
			AND s.state->>'format' = '1' AND s.state->'order'->>'status' = 'PENDING')`).Scan(&unread)
	if err != nil || unread != 0 || placed.Status != http.StatusOK {
		t.Errorf("%d events of drafts are behind no snapshot; %v; %d %s", unread, err, placed.Status, placed.Text)
	}
}
