package operator_test

import (
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/event/sample"
	"eventshop.example/pkg/retry"
)

func TestResubmit(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	r := f.placed("o-1")
	id := f.bury(r, true, errs.New(errs.Invalid, "bad"))
	o := as[outcome](f.do("POST", path(id, "resubmit"), `{"reason":"mended"}`), 200)
	heads := f.retries(r.Topic)
	if len(heads) != 1 || o.ID != id.String() || o.Status != "resubmitted" || !o.Effect || o.RetryID != heads[0].ID.String() || o.Warnings != nil {
		t.Fatalf("%+v, %d retry records", o, len(heads))
	}
	if diff := cmp.Diff(r, heads[0].Record); diff != "" {
		t.Errorf("record (-want +got):\n%s", diff)
	}
	again := as[outcome](f.do("POST", path(id, "resubmit"), ""), 200)
	if again.Effect || again.RetryID != "" || again.Status != "resubmitted" {
		t.Errorf("again: %+v", again)
	}
	f.do("POST", path(id, "discard"), `{"reason":"r"}`).refused(409, "", "is resubmitted")
	f.do("PATCH", path(id), `{"payloadBase64":""}`).refused(409, "", "is resubmitted")
	d := as[detail](f.do("GET", path(id), ""), 200)
	if got := actionsOf(d); !slices.Equal(got, []string{"doors dead_lettered", "ada resubmitted", "ada resubmitted_again"}) {
		t.Errorf("actions %v", got)
	}
	lines := f.log.lines()
	if len(lines) != 2 || !strings.Contains(lines[0], `"operator":"ada"`) || !strings.Contains(lines[0], `"reason":"mended"`) || !strings.Contains(lines[0], id.String()) {
		t.Errorf("log %q", lines)
	}
}

func actionsOf(d detail) (all []string) {
	for _, a := range d.Actions {
		all = append(all, a.Actor+" "+a.Action)
	}
	return all
}

func TestResubmitByManyAtOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := f.failed("o-1")
	answers := make([]answer, 10)
	var all sync.WaitGroup
	for i := range answers {
		all.Go(func() { answers[i] = f.do("POST", path(id, "resubmit"), "") })
	}
	all.Wait()
	effects := 0
	for _, a := range answers {
		if as[outcome](a, 200).Effect {
			effects++
		}
	}
	if heads := f.retries("locker.events"); effects != 1 || len(heads) != 1 {
		t.Errorf("%d effects, %d retry records", effects, len(heads))
	}
}

func TestDiscard(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := f.failed("o-1")
	f.follow("o-1", 2)
	o := as[outcome](f.do("POST", path(id, "discard"), `{"reason":"sender withdrew"}`, "X-Operator", "Žofie"), 200)
	if !o.Effect || o.Status != "discarded" || o.FollowersReleased != 2 {
		t.Errorf("%+v", o)
	}
	if heads := f.retries("locker.events"); len(heads) != 1 || !heads[0].Skip {
		t.Errorf("retry records %+v", heads)
	}
	f.do("POST", path(id, "discard"), `{"reason":"again"}`).refused(409, "", "is discarded")
	d := as[detail](f.do("GET", path(id), ""), 200)
	if d.Status != "discarded" || d.Actions[1].Actor != "Žofie" || d.Actions[1].Detail != "sender withdrew (2 records go on behind it)" {
		t.Errorf("%+v", d)
	}
}

func TestDryRunsLeaveNoTrace(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := f.failed("o-1")
	f.follow("o-1", 2)
	before := f.snapshot()
	if o := as[outcome](f.do("POST", path(id, "resubmit"), `{"dryRun":true}`), 200); !o.Effect || o.Status != "open" || o.RetryID != "" {
		t.Errorf("resubmit: %+v", o)
	}
	if o := as[outcome](f.do("POST", path(id, "discard"), `{"dryRun":true,"reason":"r"}`), 200); !o.Effect || o.Status != "open" || o.FollowersReleased != 2 {
		t.Errorf("discard: %+v", o)
	}
	d := as[detail](f.do("PATCH", path(id), `{"dryRun":true,"payloadBase64":"AA=="}`), 200)
	if !d.Edited || string(d.EditedRecord.PayloadBase64) != "\x00" || len(d.Warnings) != 1 || len(d.Actions) != 1 {
		t.Errorf("edit: %+v", d)
	}
	if diff := cmp.Diff(before, f.snapshot()); diff != "" {
		t.Errorf("dry runs changed (-before +after):\n%s", diff)
	}
	if lines := f.log.lines(); lines[0] != "" {
		t.Errorf("logged as changes: %q", lines)
	}
}

func TestEditPayloadAsJSON(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	r := f.placed("o-1")
	id := f.bury(r, true, errs.New(errs.Invalid, "quantity"))
	payload := as[detail](f.do("GET", path(id), ""), 200).Payload
	same := as[detail](f.do("PATCH", path(id), marshal(t, map[string]any{"payload": payload})), 200)
	if string(same.EditedRecord.PayloadBase64) != string(r.Value) {
		t.Errorf("what was not changed became % x, was % x", same.EditedRecord.PayloadBase64, r.Value)
	}
	payload["items"].([]any)[0].(map[string]any)["quantity"] = 7
	d := as[detail](f.do("PATCH", path(id), marshal(t, map[string]any{"payload": payload, "note": "ticket 7"})), 200)
	if d.Warnings != nil || d.Payload["items"].([]any)[0].(map[string]any)["quantity"] != 2.0 || d.EditedRecord.Payload["items"].([]any)[0].(map[string]any)["quantity"] != 7.0 {
		t.Errorf("%+v", d)
	}
	if last := d.Actions[len(d.Actions)-1]; last.Action != "edited" || last.Actor != "ada" || !strings.HasPrefix(last.Detail, "ticket 7 (payload of ") {
		t.Errorf("action %+v", last)
	}
	o := as[outcome](f.do("POST", path(id, "resubmit"), ""), 200)
	if !o.Effect || o.Warnings != nil {
		t.Errorf("%+v", o)
	}
	sent := f.retries(r.Topic)[0]
	e, err := f.codec.Decode(t.Context(), sample.TypeOf[sample.LockersReserved](), sent.Value)
	if err != nil {
		t.Fatal(err)
	}
	if got := e.(*sample.LockersReserved).Items[0].Quantity; got != 7 {
		t.Errorf("quantity %d was sent, want 7", got)
	}
	if diff := cmp.Diff(r.Headers, sent.Headers); diff != "" {
		t.Errorf("headers (-want +got):\n%s", diff)
	}
}

func TestEditNamesTheField(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := f.failed("o-1")
	poison := f.placed("x")
	poison.Headers, poison.Value = nil, []byte("rubbish")
	unknown := f.bury(poison, false, errs.New(errs.Hopeless, "rubbish"))
	before := f.snapshot()
	for _, tt := range []struct {
		id          uuid.UUID
		body        string
		status      int
		field, says string
	}{
		{id, `{}`, 422, "", "nothing is to be changed"},
		{id, `{"note":"n","dryRun":true}`, 422, "", "nothing is to be changed"},
		{id, `{"key":"o-2"}`, 422, "key", "wait behind it"},
		{id, `{"key":"a","keyBase64":"YQ=="}`, 422, "keyBase64", "beside key"},
		{id, `{"keyBase64":"?"}`, 422, "keyBase64", "base64"},
		{id, `{"payloadBase64":"?"}`, 422, "payloadBase64", "base64"},
		{id, `{"payload":{},"payloadBase64":""}`, 422, "payloadBase64", "beside payload"},
		{id, `{"payload":[]}`, 422, "payload", ""},
		{id, `{"payload":"x"}`, 422, "payload", ""},
		{id, `{"payload":{}}`, 422, "payload.parcelId", "required"},
		{id, `{"payload":{"parcelId":"o-1","reservationId":"r","items":[{"size":"A","quantity":2147483648}],"occurredAt":"2024-01-01T00:00:00Z"}}`, 422, "payload.items[0].quantity", "32 bits"},
		{id, `{"payload":{"parcelId":"o-1","reservationId":"r","items":[],"occurredAt":"2024-01-01T00:00:00Z","colour":"red"}}`, 422, "payload.colour", "no field"},
		{id, `{"headers":[{"value":"x"}]}`, 422, "headers[0].key", "required"},
		{id, `{"headers":[{"key":"a","keyBase64":"YQ=="}]}`, 422, "headers[0].keyBase64", "beside key"},
		{id, `{"headers":[{"key":"a","value":"x","valueBase64":"YQ=="}]}`, 422, "headers[0].valueBase64", "beside value"},
		{id, `{"headers":[{"key":"a","extra":"x"}]}`, 422, "headers[0].extra", "unknown"},
		{id, `{"headers":[{"key":"retry_skip","value":"true"}]}`, 422, "headers", "retry_"},
		{id, `{"setHeaders":{"retry_id":"x"}}`, 422, "headers", "retry_"},
		{id, `{"setHeaders":{"a":1}}`, 422, "setHeaders.a", ""},
		{id, `{"setHeaders":{"a":"` + strings.Repeat("x", 1_020_000) + `"}}`, 422, "headers", "are more than"},
		{unknown, `{"payload":{"a":1}}`, 422, "payload", "set the header ce_type"},
		{unknown, `{"payload":{"a":1},"setHeaders":{"ce_type":"ParcelNoted"}}`, 422, "payload", "Subject not found"},
	} {
		f.do("PATCH", path(tt.id), tt.body).refused(tt.status, tt.field, tt.says)
	}
	if diff := cmp.Diff(before, f.snapshot()); diff != "" {
		t.Errorf("a refused edit changed (-before +after):\n%s", diff)
	}
}

// An edit of key, all headers and payload turns a record that is no event into an event.
func TestEditOfPoison(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	good := f.placed("o-1")
	r := good
	r.Key, r.Value, r.Headers = nil, []byte(`{"parcelId":"o-1"}`), []event.Header{{Key: "x\x00", Value: nil}}
	id := f.bury(r, false, errs.New(errs.Hopeless, "header ce_specversion is missing"))

	set := map[string]string{}
	for _, h := range good.Headers {
		set[h.Key] = string(h.Value)
	}
	body := marshal(t, map[string]any{"setHeaders": set})
	d := as[detail](f.do("PATCH", path(id), body), 200)
	if len(d.Warnings) != 1 || !strings.Contains(d.Warnings[0], "cannot be decoded") {
		t.Errorf("after the headers: %q", d.Warnings)
	}
	payload := map[string]any{"parcelId": "o-1", "reservationId": "r", "items": []any{}, "occurredAt": "2024-01-01T00:00:00Z"}
	d = as[detail](f.do("PATCH", path(id), marshal(t, map[string]any{"payload": payload})), 200)
	if len(d.Warnings) != 1 || !strings.Contains(d.Warnings[0], "not the event's key o-1") {
		t.Errorf("after the payload: %q", d.Warnings)
	}
	d = as[detail](f.do("PATCH", path(id), `{"key":"o-1"}`), 200)
	if d.Warnings != nil || *d.EditedRecord.Key != "o-1" || len(d.EditedRecord.Headers) != len(good.Headers)+1 || d.Key != "" || string(d.PayloadBase64) != string(r.Value) {
		t.Errorf("after the key: %+v", d)
	}
	if page := as[page](f.do("GET", "/dead-letters?key=o-1", ""), 200); len(page.DeadLetters) != 1 {
		t.Errorf("%d dead letters with the new key", len(page.DeadLetters))
	}
	if o := as[outcome](f.do("POST", path(id, "resubmit"), ""), 200); !o.Effect || o.Warnings != nil {
		t.Errorf("%+v", o)
	}
	h := f.retries(r.Topic)[0]
	want := good
	want.Value, want.Headers = h.Value, append([]event.Header{{Key: "x\x00"}}, good.Headers...)
	slices.SortStableFunc(want.Headers, byKey)
	slices.SortStableFunc(h.Headers, byKey)
	if diff := cmp.Diff(want, h.Record); diff != "" || h.DeadLetter != id {
		t.Errorf("record (-want +got):\n%s", diff)
	}
}

func byKey(a, b event.Header) int { return strings.Compare(a.Key, b.Key) }

func TestResubmitBehindAParkedKeyAndWarnings(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.failed("o-1")
	type edit func(r *retry.Record)
	for name, tt := range map[string]struct {
		change edit
		says   []string
	}{
		"waits":       {func(*retry.Record) {}, []string{"when its turn comes"}},
		"no envelope": {func(r *retry.Record) { r.Headers = nil }, []string{"still no event", "when its turn comes"}},
		"advice that is wrong": {func(r *retry.Record) { // a consumer replaces it
			r.Headers = append(r.Headers, event.Header{Key: event.HeaderTraceParent, Value: []byte("another")})
		}, []string{"when its turn comes"}},
		"of another topic": {func(r *retry.Record) {
			r.Headers = f.event(sample.ParcelNoted{ParcelID: "o-1", OccurredAt: time.UnixMicro(1)}).Headers
		}, []string{"belongs on topic", "when its turn comes"}},
		"type not known":    {func(r *retry.Record) { setHeader(r, "ce_type", "Stranger") }, []string{"would be ignored", "when its turn comes"}},
		"cannot be decoded": {func(r *retry.Record) { r.Value = []byte("x") }, []string{"cannot be decoded", "when its turn comes"}},
		"key is not its":    {func(r *retry.Record) { r.Key = []byte("o-9") }, []string{"not the event's key"}},
	} {
		r := f.placed("o-1")
		tt.change(&r)
		id := f.bury(r, false, errs.New(errs.Hopeless, "rubbish"))
		o := as[outcome](f.do("POST", path(id, "resubmit"), ""), 200)
		ok := o.Effect && len(o.Warnings) == len(tt.says)
		for i := range o.Warnings {
			ok = ok && strings.Contains(o.Warnings[i], tt.says[i])
		}
		if !ok || (o.RetryID == "") != (slices.Contains(tt.says, "when its turn comes")) {
			t.Errorf("%s: %+v", name, o)
		}
	}
}

func setHeader(r *retry.Record, key, value string) {
	for i, h := range r.Headers {
		if h.Key == key {
			r.Headers[i].Value = []byte(value)
		}
	}
}

func TestLargePayload(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	r := f.placed("o-1")
	r.Value = append(slices.Clone(r.Value), make([]byte, 1_030_000)...)
	id := f.bury(r, true, errs.New(errs.Hopeless, "bytes after the value"))
	d := as[detail](f.do("GET", path(id), ""), 200)
	if len(d.PayloadBase64) != len(r.Value) || d.DecodeError == "" {
		t.Errorf("%d bytes, %q", len(d.PayloadBase64), d.DecodeError)
	}
	large := marshal(t, map[string]any{"payloadBase64": make([]byte, 3<<20-200)})
	if d := as[detail](f.do("PATCH", path(id), large), 200); len(d.EditedRecord.PayloadBase64) != 3<<20-200 {
		t.Errorf("%d bytes", len(d.EditedRecord.PayloadBase64))
	}
	as[outcome](f.do("POST", path(id, "resubmit"), ""), 200)
	h := f.retries(r.Topic)[0]
	current, payload, err := f.store.Current(t.Context(), f.pool, h)
	if err != nil || !current || len(payload) != 3<<20-200 || len(h.Value) != 0 {
		t.Errorf("current %v, %d bytes kept, %d sent, %v", current, len(payload), len(h.Value), err)
	}
}

// A client can send back what GET shows of a record unchanged, whatever bytes it has.
func TestEditWithWhatIsShown(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	r := f.placed("o-1")
	r.Key = []byte{0xff, 0x00, 'k'}
	r.Headers = []event.Header{
		{Key: "", Value: []byte("x")}, {Key: "dup", Value: []byte("1")}, {Key: "dup", Value: []byte("2")}, {Key: "nul", Value: []byte("a\x00b")},
		{Key: "none"}, {Key: "empty", Value: []byte{}}, {Key: "\xff", Value: []byte{0xfe}}, {Key: "uni", Value: []byte("Köln\n\u2028")},
	}
	id := f.bury(r, false, errs.New(errs.Hopeless, "rubbish"))
	shown := as[map[string]json.RawMessage](f.do("GET", path(id), ""), 200)
	body := marshal(t, map[string]json.RawMessage{"keyBase64": shown["keyBase64"], "headers": shown["headers"], "payloadBase64": shown["payloadBase64"]})
	as[detail](f.do("PATCH", path(id), body), 200)
	d, err := f.store.Get(t.Context(), f.pool, id)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(d.Original, *d.Repaired); diff != "" {
		t.Errorf("(-original +sent back):\n%s", diff)
	}
}

// TestAdviceIsNoReasonForAWarning: consumers replace wrong trace headers and times, so the API does
// not warn of them.
func TestAdviceIsNoReasonForAWarning(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	r := f.placed("o-1")
	r.Headers = append(r.Headers, event.Header{Key: event.HeaderTraceParent, Value: []byte("a")}, event.Header{Key: event.HeaderTraceParent, Value: []byte("b")})
	id := f.bury(r, true, errs.New(errs.Invalid, "no"))
	d := as[detail](f.do("PATCH", path(id), `{"setHeaders":{"ce_time":"yesterday"}}`), 200)
	if d.Warnings != nil {
		t.Errorf("warnings %q", d.Warnings)
	}
	d = as[detail](f.do("PATCH", path(id), `{"setHeaders":{"ce_aggregateversion":"none"}}`), 200)
	if len(d.Warnings) != 1 || !strings.Contains(d.Warnings[0], "still no event") {
		t.Errorf("without a version: warnings %q", d.Warnings)
	}
}
