package operator_test

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/event/sample"
)

func TestListFilters(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var ids []string
	add := func(id uuid.UUID) uuid.UUID { ids = append(ids, id.String()); return id }
	add(f.failed("o-0"))
	discarded := add(f.failed("o-1"))
	add(f.bury(f.event(sample.ParcelNoted{ParcelID: "o-2", OccurredAt: time.UnixMicro(1)}), true, errs.New(errs.NotFound, "no doors")))
	poison := f.placed("x")
	poison.Key, poison.Headers = []byte{0xff, 0}, nil
	add(f.bury(poison, false, errs.New(errs.Hopeless, "header ce_id is missing\nand more")))
	keyless := f.placed("x")
	keyless.Key = nil
	add(f.bury(keyless, false, errs.New(errs.Hopeless, "%s", strings.Repeat("é", 300))))
	resubmitted := add(f.failed("o-5"))
	as[outcome](f.do("POST", path(discarded, "discard"), `{"reason":"r"}`), 200)
	as[outcome](f.do("POST", path(resubmitted, "resubmit"), ""), 200)
	between := f.createdAt(ids[3])

	q := url.QueryEscape
	for query, want := range map[string][]int{
		"":                           {0, 2, 3, 4},
		"status=all":                 {0, 1, 2, 3, 4, 5},
		"status=discarded":           {1},
		"status=resubmitted":         {5},
		"status=resolved":            {},
		"topic=locker.events":        {0, 3, 4},
		"topic=parcel.notifications": {2},
		"type=ParcelNoted":           {2},
		"type=LockersReserved&status=all&topic=locker.events&class=invalid": {0, 1, 5},
		"class=hopeless":         {3, 4},
		"key=o-1":                {},
		"key=o-1&status=all":     {1},
		"keyBase64=" + q("/wA="): {3},
		"since=" + q(between):    {3, 4},
		"until=" + q(between):    {0, 2},
		"since=" + q(between) + "&until=" + q(between): {},
		"after=" + ids[2]:                    {3, 4},
		"status=all&limit=2&after=" + ids[1]: {2, 3},
	} {
		got := []string{}
		p := as[page](f.do("GET", "/dead-letters?"+query, ""), 200)
		for _, d := range p.DeadLetters {
			got = append(got, d.ID)
		}
		wanted := []string{}
		for _, i := range want {
			wanted = append(wanted, ids[i])
		}
		if diff := cmp.Diff(wanted, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", query, diff)
		}
		if (p.Next != "") != strings.Contains(query, "limit") {
			t.Errorf("%s: next is %q", query, p.Next)
		}
	}
	all := as[page](f.do("GET", "/dead-letters", ""), 200).DeadLetters
	if d := all[2]; d.ErrorMessage != "header ce_id is missing" || string(d.KeyBase64) != "\xff\x00" || d.Key != "" || d.EventID != "" || d.Parks {
		t.Errorf("rubbish: %+v", d)
	}
	if d := all[3]; d.KeyBase64 != nil || d.Key != "" || d.ErrorMessage != strings.Repeat("é", 199)+"…" {
		t.Errorf("without key: %+v", d)
	}
	if d := all[0]; d.Key != "o-0" || d.EventID == "" || d.Group != "doors" || d.ErrorClass != "invalid" || d.Attempts != 1 || d.Status != "open" || !d.Parks {
		t.Errorf("an event: %+v", d)
	}
}

func (f *fixture) createdAt(id string) string {
	f.t.Helper()
	var at time.Time
	if err := f.pool.QueryRow(f.t.Context(), `SELECT created_at FROM dead_letters WHERE id = $1`, id).Scan(&at); err != nil {
		f.t.Fatal(err)
	}
	return at.UTC().Format(time.RFC3339Nano)
}

func TestPages(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var want, got []string
	for range 7 {
		want = append(want, f.failed(uuid.NewString()).String())
	}
	query, pages := "/dead-letters?limit=3", 0
	for next := ""; ; {
		target := query
		if next != "" {
			target += "&after=" + next
		}
		p := as[page](f.do("GET", target, ""), 200)
		pages++
		for _, d := range p.DeadLetters {
			got = append(got, d.ID)
		}
		if next = p.Next; next == "" {
			break
		}
	}
	if !slices.IsSorted(want) || !slices.Equal(got, want) || pages != 3 {
		t.Errorf("%d pages: %v, want %v", pages, got, want)
	}
	// A full page that is the last has no next.
	if p := as[page](f.do("GET", "/dead-letters?limit=7", ""), 200); len(p.DeadLetters) != 7 || p.Next != "" {
		t.Errorf("%d, next %q", len(p.DeadLetters), p.Next)
	}
}

func TestBadRequests(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := f.failed("o-1")
	before := f.snapshot()
	for _, tt := range []struct {
		method, target, body string
		status               int
		field, says          string
		headers              []string
	}{
		{"GET", "/dead-letters?limit=0", "", 400, "limit", "at least 1", nil},
		{"GET", "/dead-letters?limit=501", "", 400, "limit", "at most 500", nil},
		{"GET", "/dead-letters?limit=x", "", 400, "limit", "", nil},
		{"GET", "/dead-letters?status=gone", "", 400, "status", "", nil},
		{"GET", "/dead-letters?after=x", "", 400, "after", "UUID", nil},
		{"GET", "/dead-letters?since=yesterday", "", 400, "since", "RFC 3339", nil},
		{"GET", "/dead-letters?until=2024-01-01", "", 400, "until", "RFC 3339", nil},
		{"GET", "/dead-letters?keyBase64=%21", "", 400, "keyBase64", "base64", nil},
		{"GET", "/dead-letters?key=a&keyBase64=YQ%3D%3D", "", 400, "keyBase64", "beside key", nil},
		{"GET", "/dead-letters?key=%00", "", 400, "key", "NUL", nil},
		{"GET", "/dead-letters?topic=%ff", "", 400, "topic", "UTF-8", nil},
		{"GET", "/dead-letters?colour=red", "", 400, "colour", "no parameter", nil},
		{"GET", "/dead-letters?topic=a&topic=b", "", 400, "topic", "more than once", nil},
		{"GET", "/dead-letters/1", "", 400, "id", "UUID", nil},
		{"GET", path(id) + "x", "", 400, "id", "UUID", nil},
		{"GET", "/dead-letters/" + uuid.NewString(), "", 404, "", "no dead letter", nil},
		{"PATCH", "/dead-letters/" + uuid.NewString(), `{"key":"x"}`, 404, "", "no dead letter", nil},
		{"POST", "/dead-letters/" + uuid.NewString() + "/resubmit", "", 404, "", "no dead letter", nil},
		{"POST", "/dead-letters/" + uuid.NewString() + "/discard", `{"reason":"r"}`, 404, "", "no dead letter", nil},
		{"DELETE", path(id), "", 405, "", "", nil},
		{"GET", "/nothing", "", 404, "", "no such path", nil},
		{"GET", "/parked?limit=-1", "", 400, "limit", "at least 1", nil},

		{"POST", path(id, "resubmit"), "", 400, "X-Operator", "required", []string{"X-Operator", ""}},
		{"POST", path(id, "resubmit"), "", 400, "X-Operator", "100", []string{"X-Operator", strings.Repeat("a", 101)}},
		{"POST", path(id, "discard"), `{"reason":"r"}`, 400, "X-Operator", "printable", []string{"X-Operator", "a\u202eb"}},
		{"PATCH", path(id), `{"key":"x"}`, 400, "X-Operator", "UTF-8", []string{"X-Operator", "a\xff"}},
		{"POST", path(id, "discard"), "", 400, "", "body is required", nil},
		{"POST", path(id, "discard"), `{}`, 422, "reason", "required", nil},
		{"POST", path(id, "discard"), `{"reason":""}`, 422, "reason", "empty", nil},
		{"POST", path(id, "discard"), `{"reason":"` + strings.Repeat("x", 2001) + `"}`, 422, "reason", "2000", nil},
		{"POST", path(id, "discard"), `{"reason":"a\u0000"}`, 400, "reason", "NUL", nil},
		{"POST", path(id, "resubmit"), `{"resaon":"r"}`, 422, "resaon", "unknown", nil},
		{"POST", path(id, "resubmit"), `{"dryRun":"yes"}`, 422, "dryRun", "", nil},
		{"POST", path(id, "resubmit"), `{"dryRun":true,"dryRun":false}`, 400, "dryRun", "more than once", nil},
		{"POST", path(id, "resubmit"), `{`, 400, "", "", nil},
		{"POST", path(id, "resubmit"), `{}`, 415, "Content-Type", "", []string{"Content-Type", "text/plain"}},
		{"PATCH", path(id), `{"note":"` + strings.Repeat("x", 4<<20) + `"}`, 413, "", "4194304", nil},
	} {
		t.Run(tt.method+" "+tt.target[:min(60, len(tt.target))], func(t *testing.T) {
			a := f.do(tt.method, tt.target, tt.body, tt.headers...)
			a.t = t
			a.refused(tt.status, tt.field, tt.says)
		})
	}
	if diff := cmp.Diff(before, f.snapshot()); diff != "" {
		t.Errorf("a refused request changed (-before +after):\n%s", diff)
	}
	if lines := f.log.lines(); len(lines) != 1 || lines[0] != "" {
		t.Errorf("refused requests are logged as changes: %q", lines)
	}
}

func TestShow(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	r := f.placed("o-1")
	r.Headers = append(r.Headers, event.Header{Key: "odd\x00", Value: []byte{0, 0xff}}, event.Header{Key: "none"}, event.Header{Key: "empty", Value: []byte{}})
	id := f.bury(r, true, errs.New(errs.Invalid, "first\nsecond"))
	f.follow("o-1", 2)
	d := as[detail](f.do("GET", path(id), ""), 200)
	if d.ErrorMessage != "first\nsecond" || d.ErrorStack != "stack of it" || d.Followers != 2 || string(d.PayloadBase64) != string(r.Value) ||
		d.SchemaSubject != "lockers.locker.v1.LockersReserved" || d.DecodeError != "" || d.EditedRecord != nil {
		t.Errorf("%+v", d)
	}
	if d.Payload["parcelId"] != "o-1" || d.Payload["occurredAt"] != "1970-01-01T00:00:00.000001Z" {
		t.Errorf("payload %v", d.Payload)
	}
	empty := ""
	want := []header{{KeyBase64: []byte("odd\x00"), ValueBase64: []byte{0, 0xff}}, {Key: "none"}, {Key: "empty", Value: &empty}}
	if diff := cmp.Diff(want, d.Headers[len(d.Headers)-3:]); diff != "" {
		t.Errorf("headers (-want +got):\n%s", diff)
	}
	if len(d.Actions) != 1 || d.Actions[0].Action != "dead_lettered" || d.Actions[0].Actor != "doors" {
		t.Errorf("actions %+v", d.Actions)
	}
}

func TestShowPoison(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for name, tt := range map[string]struct {
		value []byte
		says  string
	}{
		"nothing":      {nil, "no payload"},
		"empty":        {[]byte{}, "shorter"},
		"JSON":         {[]byte(`{"a":1}`), "first byte"},
		"unknown id":   {[]byte{0, 0, 0, 1, 0, 1}, "schema id 256"},
		"a megabyte":   {make([]byte, 1_000_000), "no schema id"},
		"NUL in a key": {[]byte("\x00"), "shorter"},
	} {
		r := f.placed("x")
		r.Value, r.Key, r.Headers = tt.value, []byte("\x00"+name), nil
		d := as[detail](f.do("GET", path(f.bury(r, false, errs.New(errs.Hopeless, "rubbish"))), ""), 200)
		if d.Payload != nil || !strings.Contains(d.DecodeError, tt.says) || string(d.PayloadBase64) != string(tt.value) || string(d.KeyBase64) != "\x00"+name || len(d.Headers) != 0 {
			t.Errorf("%s: %q, %d bytes, %+v", name, d.DecodeError, len(d.PayloadBase64), d.summary)
		}
	}
}

// The database is sufficient for everything except editing a payload as JSON.
func TestWithTheRegistryDown(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	first, second, third := f.failed("o-1"), f.failed("o-2"), f.failed("o-3")
	f.registry.SetDown(true)
	cold := f.newHandler(f.registry.Codec(sample.Catalogue()))
	if p := as[page](f.doWith(cold, "GET", "/dead-letters", ""), 200); len(p.DeadLetters) != 3 {
		t.Errorf("%d dead letters", len(p.DeadLetters))
	}
	if d := as[detail](f.doWith(cold, "GET", path(first), ""), 200); d.Payload != nil || !strings.Contains(d.DecodeError, "schema id 1") || len(d.PayloadBase64) == 0 {
		t.Errorf("%q, payload %v", d.DecodeError, d.Payload)
	}
	if o := as[outcome](f.doWith(cold, "POST", path(first, "resubmit"), ""), 200); !o.Effect || len(o.Warnings) != 1 || !strings.Contains(o.Warnings[0], "could not be checked") {
		t.Errorf("%+v", o)
	}
	if o := as[outcome](f.doWith(cold, "POST", path(second, "discard"), `{"reason":"r"}`), 200); !o.Effect {
		t.Errorf("%+v", o)
	}
	f.doWith(cold, "PATCH", path(third), `{"payload":{}}`).refused(503, "", "not available")
	if d := as[detail](f.doWith(cold, "PATCH", path(third), `{"payloadBase64":"AAAAAAE="}`), 200); !d.Edited {
		t.Errorf("%+v", d.summary)
	}
}

func TestBeforeTheTablesAreThere(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.prepared = false
	f.do("GET", "/dead-letters", "").refused(503, "", "not available")
	f.prepared = true
	as[page](f.do("GET", "/dead-letters", ""), http.StatusOK)
}

func TestStatsAndParked(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	type stats struct {
		Group                                            string
		Open, Resubmitted, ParkedRecords, OverdueRetries int
		OldestOpen                                       *time.Time
		ByTopic                                          []struct {
			Topic             string
			Open, Resubmitted int
			Oldest            *time.Time
		}
		ByType []struct {
			EventType, ErrorClass string
			Open                  int
		}
		ParkedKeys struct{ Retrying, Dead int }
	}
	if s := as[stats](f.do("GET", "/dead-letters/stats", ""), 200); s.Group != "doors" || s.Open != 0 || s.OldestOpen != nil || s.ByTopic == nil || s.ByType == nil {
		t.Errorf("of nothing: %+v", s)
	}
	oldest := f.failed("o-1")
	f.follow("o-1", 3)
	f.failed("o-2")
	resubmitted := f.failed("o-3")
	as[outcome](f.do("POST", path(resubmitted, "resubmit"), ""), 200)
	f.bury(f.event(sample.ParcelNoted{ParcelID: "o-4", OccurredAt: time.UnixMicro(1)}), false, errs.New(errs.Hopeless, "x"))
	if _, err := f.pool.Exec(context.Background(), `UPDATE parked_keys SET not_before = now() - interval '11 minutes' WHERE state = 'retrying'`); err != nil {
		t.Fatal(err)
	}
	s := as[stats](f.do("GET", "/dead-letters/stats", ""), 200)
	if s.Open != 3 || s.Resubmitted != 1 || s.ParkedRecords != 3 || s.OverdueRetries != 1 || s.ParkedKeys.Retrying != 1 || s.ParkedKeys.Dead != 2 {
		t.Errorf("%+v", s)
	}
	if len(s.ByTopic) != 2 || s.ByTopic[0].Topic != "locker.events" || s.ByTopic[0].Open != 2 || s.ByTopic[0].Resubmitted != 1 ||
		!s.ByTopic[0].Oldest.Equal(*s.OldestOpen) || s.OldestOpen.Format(time.RFC3339Nano) != f.createdAt(oldest.String()) {
		t.Errorf("by topic %+v, oldest %v", s.ByTopic, s.OldestOpen)
	}
	if len(s.ByType) != 2 || s.ByType[0].EventType != "LockersReserved" || s.ByType[0].ErrorClass != "invalid" || s.ByType[0].Open != 2 {
		t.Errorf("by type %+v", s.ByType)
	}

	type parked struct {
		ParkedKeys []struct {
			Topic, Key, State, Head, EventType, LastError string
			Attempts, Followers                           int
		}
	}
	keys := as[parked](f.do("GET", "/parked", ""), 200).ParkedKeys
	if len(keys) != 3 || keys[0].Key != "o-1" || keys[0].State != "dead" || keys[0].Head != oldest.String() || keys[0].Followers != 3 ||
		keys[0].LastError != "amount of o-1 is negative" || keys[2].State != "retrying" || keys[2].Head != f.retries("locker.events")[0].ID.String() {
		t.Errorf("%+v", keys)
	}
	if keys := as[parked](f.do("GET", "/parked?limit=1", ""), 200).ParkedKeys; len(keys) != 1 {
		t.Errorf("%d keys", len(keys))
	}
}

// TestParkedOfAKey: the answer does not depend on how many keys have been parked longer.
func TestParkedOfAKey(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	if _, err := f.pool.Exec(t.Context(), `INSERT INTO parked_keys
			(consumer_group, topic, key, head, state, event_type, attempts, not_before, last_error, parked_at)
		SELECT 'doors', 'locker.events', convert_to('other-' || n, 'UTF8'), gen_random_uuid(), 'retrying', 'LockersReserved', 1, now(), 'x',
			now() - interval '1 day' FROM generate_series(1, 10000) n`); err != nil {
		t.Fatal(err)
	}
	head := f.failed("o-1")
	f.follow("o-1", 2)
	binary := f.event(sample.ParcelNoted{ParcelID: "o-1", OccurredAt: time.UnixMicro(1)})
	binary.Key = []byte{0xff, 0}
	odd := f.bury(binary, true, errs.New(errs.Invalid, "odd"))
	type parked struct {
		ParkedKeys []struct {
			Topic, Key, Head string
			Followers        int
		}
	}
	for query, want := range map[string]string{
		"key=o-1":                                  head.String(),
		"keyBase64=" + url.QueryEscape("by0x"):     head.String(),
		"keyBase64=" + url.QueryEscape("/wA="):     odd.String(),
		"key=o-1&limit=1":                          head.String(),
		"key=o-2":                                  "",
		"keyBase64=" + url.QueryEscape("/wABAg=="): "",
	} {
		got := as[parked](f.do("GET", "/parked?"+query, ""), 200).ParkedKeys
		if want == "" && len(got) == 0 {
			continue
		}
		if len(got) != 1 || got[0].Head != want || want == head.String() && (got[0].Topic != "locker.events" || got[0].Followers != 2) {
			t.Errorf("%s: %+v, want %q", query, got, want)
		}
	}
	f.do("GET", "/parked?key=a&keyBase64=YQ%3D%3D", "").refused(400, "keyBase64", "beside key")
	f.do("GET", "/parked?keyBase64=%21", "").refused(400, "keyBase64", "base64")
}
