package mailbox_test

import (
	"log/slog"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"eventshop.example/pkg/breaker"
	"eventshop.example/pkg/errs"
	"eventshop.example/services/notification/internal/mailbox"
	"eventshop.example/services/notification/internal/mailbox/mailboxtest"
)

func newBreaker(failures int) *breaker.Breaker {
	return breaker.New(breaker.Config{Name: "mailbox", Failures: failures, OpenFor: time.Hour, Logger: slog.New(slog.DiscardHandler)})
}

func hello() mailbox.Mail {
	return mailbox.Mail{OrderID: "o1", CustomerID: "c1", To: "ada@example.com", Subject: "hello", Text: "hello Ada\n"}
}

func TestSend(t *testing.T) {
	t.Parallel()
	arrived := []string{"mail-o1 ada@example.com hello\nhello Ada\n"}
	for name, test := range map[string]struct {
		faults  mailboxtest.Switches
		want    mailbox.Answer
		kind    errs.Kind // when the outcome is an error
		failed  bool
		arrived []string
	}{
		"delivered":                          {arrived: arrived},
		"refused":                            {faults: mailboxtest.Switches{Refuse: "no_such_mailbox"}, want: mailbox.Answer{Refused: true, Code: "no_such_mailbox"}},
		"a refusal without a code":           {faults: mailboxtest.Switches{Put: 400}, want: mailbox.Answer{Refused: true, Code: "http_400"}},
		"answer lost, found by key":          {faults: mailboxtest.Switches{AnswerLost: 1}, arrived: arrived},
		"refusal lost, found by key":         {faults: mailboxtest.Switches{AnswerLost: 1, Refuse: "x"}, want: mailbox.Answer{Refused: true, Code: "x"}},
		"answer lost, and not found":         {faults: mailboxtest.Switches{AnswerLost: 1, NoLookup: true}, failed: true, kind: errs.Transient, arrived: arrived},
		"down":                               {faults: mailboxtest.Switches{Down: true}, failed: true, kind: errs.Transient},
		"503":                                {faults: mailboxtest.Switches{Status: 503}, failed: true, kind: errs.Transient},
		"503, and the key is unknown":        {faults: mailboxtest.Switches{Put: 503}, failed: true, kind: errs.Transient},
		"rate limit":                         {faults: mailboxtest.Switches{Put: 429}, failed: true, kind: errs.Transient},
		"an answer that violates the API":    {faults: mailboxtest.Switches{Put: 409}, failed: true, kind: errs.Internal},
		"a wrong password, which can change": {faults: mailboxtest.Switches{Put: 401}, failed: true, kind: errs.Transient},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			box := mailboxtest.Start(t)
			box.Switch(test.faults)
			c := mailbox.New(box.URL+"/", time.Minute, newBreaker(1000))
			got, err := c.Send(t.Context(), "mail-o1", hello())
			if (err != nil) != test.failed || err != nil && errs.KindOf(err) != test.kind {
				t.Errorf("error %v of kind %s", err, errs.KindOf(err))
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("answer (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.arrived, box.Arrived()); diff != "" {
				t.Errorf("arrived (-want +got):\n%s", diff)
			}
		})
	}
}

// TestTheSameKey: a repetition delivers nothing, and another mail with the key is refused for good.
func TestTheSameKey(t *testing.T) {
	t.Parallel()
	box := mailboxtest.Start(t)
	c := mailbox.New(box.URL, time.Minute, newBreaker(5))
	for range 2 {
		if got, err := c.Send(t.Context(), "mail-o1", hello()); err != nil || got.Refused {
			t.Fatalf("%+v %v", got, err)
		}
	}
	other := hello()
	other.Text = "other"
	if got, err := c.Send(t.Context(), "mail-o1", other); err != nil || got.Code != "idempotency_key_reused" {
		t.Errorf("another mail: %+v %v", got, err)
	}
	if n := len(box.Arrived()); n != 1 {
		t.Errorf("%d mails arrived", n)
	}
}

// TestBreaker: an attempt is one operation, however many requests it makes, and an open breaker sends
// none.
func TestBreaker(t *testing.T) {
	t.Parallel()
	box := mailboxtest.Start(t)
	box.Switch(mailboxtest.Switches{Status: 503})
	c := mailbox.New(box.URL, time.Minute, newBreaker(2))
	for range 2 {
		if _, err := c.Send(t.Context(), "k", hello()); err == nil || mailbox.IsRefused(err) {
			t.Fatalf("error %v", err)
		}
	}
	asked := box.Requests()
	_, err := c.Send(t.Context(), "k", hello())
	if wait, _ := errs.RetryAfter(err); !mailbox.IsRefused(err) || wait < 50*time.Minute || c.Wait() < 50*time.Minute {
		t.Errorf("%v, wait %s, breaker's %s", err, wait, c.Wait())
	}
	if got := box.Requests(); got != asked {
		t.Errorf("%d requests through an open breaker", got-asked)
	}
}

func TestTidy(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"a\x00b\nc":               "a b c",
		"\xff":                    "\uFFFD",
		strings.Repeat("é", 1000): strings.Repeat("é", 250),
	} {
		if got := mailbox.Tidy(text); got != want || !utf8.ValidString(got) {
			t.Errorf("%q becomes %q", text, got)
		}
	}
}
