package faults

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/lab/load"
	"eventshop.example/local/stack"
	"eventshop.example/ops/verify"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/kafkatest"
)

// TestAGroupHasCaughtUpWhenItHasCommittedAllItReads: the service's own topics do not count, nor do
// later records.
func TestAGroupHasCaughtUpWhenItHasCommittedAllItReads(t *testing.T) {
	t.Parallel()
	client := kafkatest.NewClient(t, kafkatest.Start(t, events.Topics()...))
	tr := &trial{world: &world{admin: kadm.NewClient(client)}}
	put := func(topic string) {
		t.Helper()
		record := &kgo.Record{Topic: topic, Key: []byte("order-1"), Value: []byte("v")}
		if err := client.ProduceSync(t.Context(), record).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	commit := func(topic string) {
		t.Helper()
		ends, err := tr.admin.ListEndOffsets(t.Context(), topic)
		if err == nil {
			var answers kadm.OffsetResponses
			answers, err = tr.admin.CommitOffsets(t.Context(), "payment", ends.Offsets())
			if err == nil {
				err = answers.Error()
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	behind := func(what string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		if err := tr.caughtUp(ctx, "payment"); err == nil {
			t.Errorf("caught up %s", what)
		}
	}
	put(events.TopicOrderEvents)
	put(events.TopicPaymentEvents)
	behind("before anything is committed")
	commit(events.TopicOrderEvents)
	if err := tr.caughtUp(t.Context(), "payment"); err != nil {
		t.Error(err)
	}
	put(events.TopicShippingEvents)
	behind("with a topic of which nothing is committed")
	commit(events.TopicShippingEvents)
	put(events.TopicOrderEvents)
	behind("with one record more")
}

// TestOrdersThatAreTooDearHaveToBeRefusedWithTheirField runs the check against servers that refuse
// correctly and servers that do not.
func TestOrdersThatAreTooDearHaveToBeRefusedWithTheirField(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status   int
		body     string
		failures int // of two orders
	}{
		{http.StatusUnprocessableEntity, `{"errors":[{"field":"items[0].unitPrice"}]}`, 0},
		{http.StatusUnprocessableEntity, `{"title":"no"}`, 2},
		{http.StatusCreated, `{"items":[{"unitPrice":1}]}`, 2},
	} {
		var bodies []string
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			text := make([]byte, r.ContentLength)
			r.Body.Read(text) //nolint:errcheck // what is read is compared below
			bodies = append(bodies, string(text))
			w.WriteHeader(c.status)
			w.Write([]byte(c.body))
		}))
		t.Cleanup(srv.Close)
		tr := &trial{world: &world{http: load.NewClient(), file: stack.File{URL: map[string]string{"order": srv.URL}}}}
		if err := tr.tooDear(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(tr.failures) != c.failures {
			t.Errorf("%d %s: %d expectations are not met, want %d: %v", c.status, c.body, len(tr.failures), c.failures, tr.failures)
		}
		all := strings.Join(bodies, "\n")
		if len(bodies) != 2 || !strings.Contains(all, `92233720368547758.07,"currency":"GBP"`) || !strings.Contains(all, `9223372036854775807,"currency":"JPY"`) {
			t.Errorf("orders sent: %s", all)
		}
	}
}

func TestOneDeadLetterForEachReader(t *testing.T) {
	t.Parallel()
	want := onePerReader(events.TopicOrderEvents)
	if len(want) != len(verify.Readers(events.TopicOrderEvents)) || want["order"] != 0 || want["payment"] != 1 {
		t.Errorf("dead letters by group: %v", want)
	}
}

// TestARoleNeedsASuperuser: only the server's superuser can forbid a login.
func TestARoleNeedsASuperuser(t *testing.T) {
	t.Parallel()
	w := &world{file: stack.File{DSN: map[string]string{"payment": "postgres://its-role:secret@127.0.0.1:1/payment"}}}
	if _, _, err := w.role("payment"); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("without a superuser: %v", err)
	}
	w.file.Admin = "postgres://root@127.0.0.1:1/postgres"
	if role, admin, err := w.role("payment"); err != nil || role != "its-role" || admin != w.file.Admin {
		t.Errorf("role %q, %q, %v", role, admin, err)
	}
}
