package order_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"eventshop.example/pkg/errs"
	"eventshop.example/services/order/order"
)

// golden returns the stored bytes of an event. The files of earlier versions are never changed.
func golden(t *testing.T, file string) json.RawMessage {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "events", file+".json"))
	if err != nil {
		t.Fatal(err)
	}
	return json.RawMessage(strings.TrimSuffix(string(b), "\n"))
}

func created(channel order.Channel) order.OrderCreated {
	return order.OrderCreated{
		OrderID: "o1", Customer: order.Customer{ID: "c7", Name: "Ada", Email: "ada@example.com"},
		ShippingAddress: order.Address{Street: "1 Lane", City: "London", PostalCode: "SW1A 1AA"},
		TotalAmount:     9999, Currency: "GBP", Channel: channel, Style: order.Choreographed,
		PlacedAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), ConfirmBy: time.Date(2026, 1, 2, 3, 9, 5, 0, time.UTC),
	}
}

func orchestrated() order.OrderCreated {
	e := created(order.Web)
	e.Style = order.Orchestrated
	return e
}

// versions has each form that a release has written. The latest is also what is written now.
var versions = []struct {
	file   string
	want   order.Event
	reason string // of a cancellation
	latest bool
}{
	{"OrderCreated.v1", created(order.Unspecified), "", false},
	{"OrderCreated.v2", created(order.Web), "", true},
	{"OrderCreated.v3", orchestrated(), "", true},
	{"OrderCancellationRequested.v1.customer", order.OrderCancellationRequested{Actor: order.ByCustomer, Trigger: order.OnRequest, Detail: "changed my mind"}, "customer", false},
	{"OrderCancellationRequested.v1.deadline", order.OrderCancellationRequested{Actor: order.BySystem, Trigger: order.OnDeadline, Detail: "not confirmed in time"}, "deadline", false},
	{"OrderCancellationRequested.v1.bare", order.OrderCancellationRequested{Actor: order.ByCustomer, Trigger: order.OnRequest}, "customer", false},
	{"OrderCancellationRequested.v1.other", order.OrderCancellationRequested{Trigger: "fraud"}, "fraud", false},
	{"OrderCancellationRequested.v2.customer", order.OrderCancellationRequested{Actor: order.ByCustomer, Trigger: order.OnRequest, Detail: "changed my mind"}, "customer", true},
	{"OrderCancellationRequested.v2.deadline", order.OrderCancellationRequested{Actor: order.BySystem, Trigger: order.OnDeadline, Detail: "not confirmed in time"}, "deadline", true},
}

// TestStoredEventsOfAllVersionsAreRead, whatever the order and the spacing of their fields: the
// database keeps neither.
func TestStoredEventsOfAllVersionsAreRead(t *testing.T) {
	for _, v := range versions {
		name, _, _ := strings.Cut(v.file, ".")
		data := golden(t, v.file)
		var keys map[string]any
		if err := json.Unmarshal(data, &keys); err != nil {
			t.Fatal(err)
		}
		asStored, err := json.MarshalIndent(keys, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		for _, form := range []json.RawMessage{data, asStored} {
			before := string(form)
			got, err := order.Decode(name, form)
			if err != nil {
				t.Fatalf("%s: %v", v.file, err)
			}
			if diff := cmp.Diff(v.want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", v.file, diff)
			}
			if again, err := order.Decode(name, form); err != nil || cmp.Diff(got, again) != "" || string(form) != before {
				t.Errorf("%s: decoding changed something: %v, %s", v.file, err, form)
			}
			if e, ok := got.(order.OrderCancellationRequested); ok && e.Reason() != v.reason {
				t.Errorf("%s: reason %q, want %q", v.file, e.Reason(), v.reason)
			}
		}
		written, err := order.Encode(v.want)
		if err != nil {
			t.Fatal(err)
		}
		if v.latest && string(written) != string(data) {
			t.Errorf("written as %s, want %s", written, data)
		}
		again, err := order.Decode(name, written)
		if diff := cmp.Diff(v.want, again); err != nil || diff != "" {
			t.Errorf("%s written in the latest version: %v %s", v.file, err, diff)
		}
	}
}

// TestTheReleaseBeforeReadsWhatIsWritten: during a roll its processes fold what this release appends.
// They decode with these structs and ignore fields that they do not know.
func TestTheReleaseBeforeReadsWhatIsWritten(t *testing.T) {
	type createdBefore struct {
		OrderID         string         `json:"orderId"`
		Customer        order.Customer `json:"customer"`
		ShippingAddress order.Address  `json:"shippingAddress"`
		TotalAmount     int64          `json:"totalAmount"`
		Currency        string         `json:"currency"`
		PlacedAt        time.Time      `json:"placedAt"`
		ConfirmBy       time.Time      `json:"confirmBy"`
	}
	read := func(file string, into any) {
		t.Helper()
		if err := json.Unmarshal(golden(t, file), into); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
	var c1, c2 createdBefore
	read("OrderCreated.v1", &c1)
	read("OrderCreated.v2", &c2)
	if diff := cmp.Diff(c1, c2); diff != "" {
		t.Error(diff)
	}
	// It knows no versions, and would take an orchestrated order for a choreographed one.
	if err := json.Unmarshal(golden(t, "OrderCreated.v3"), &createdBefore{}); err == nil {
		t.Error("the release before reads the beginning of an orchestrated order")
	}
	for _, kind := range []string{"customer", "deadline"} {
		var r1, r2 order.Cause // the struct of the release before
		read("OrderCancellationRequested.v1."+kind, &r1)
		read("OrderCancellationRequested.v2."+kind, &r2)
		if diff := cmp.Diff(r1, r2); diff != "" {
			t.Error(diff)
		}
	}
}

// TestVersionsThatCannotBeRead: a form of a later release is refused, not misread.
func TestVersionsThatCannotBeRead(t *testing.T) {
	for name, forms := range map[string][]string{
		"OrderCreated": {`{"v":4}`, `{"v":3}`, `{"v":3,"orderId":{"id":"o1"}}`, `{"v":3,"orderId":{"id":"o1","saga":"other"}}`, `{"v":3,"orderId":7}`,
			`{"v": 0}`, `{"v":-1}`, `{"v":"2"}`, `{"v":1.5}`, `null`, `[]`, `{"v":`},
		"OrderCancellationRequested": {`{"v":3,"reason":"customer"}`, `{"reason":7}`},
		"ItemAdded":                  {`{"v":2,"sku":"A"}`},
	} {
		for _, form := range forms {
			if e, err := order.Decode(name, []byte(form)); errs.KindOf(err) != errs.Internal || err == nil {
				t.Errorf("%s %s: %+v, %v", name, form, e, err)
			}
		}
	}
	if e, err := order.Decode("ItemAdded", []byte(`{"v":1,"sku":"A"}`)); err != nil || e != (order.ItemAdded{SKU: "A"}) {
		t.Errorf("version 1, said so: %+v, %v", e, err)
	}
}

func TestChannels(t *testing.T) {
	for channel, want := range map[order.Channel]order.Channel{"": order.Unspecified, order.Unspecified: order.Unspecified, order.Phone: order.Phone} {
		p := valid()
		p.Channel = channel
		events, err := p.Events()
		if got := (order.Order{}).Fold(events...).Channel; err != nil || got != want {
			t.Errorf("%q became %q, %v", channel, got, err)
		}
	}
	p := valid()
	p.Channel = "fax"
	if _, err := p.Events(); errs.KindOf(err) != errs.Invalid || !strings.Contains(err.Error(), "channel") {
		t.Errorf("fax: %v", err)
	}
}
