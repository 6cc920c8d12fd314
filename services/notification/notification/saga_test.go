package notification

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

var since = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// arrive applies one event under a style and returns the state and the number of mails written.
func arrive(s State, placed bool, style Style, at time.Time) (State, int) {
	in := style.Created(at, since)
	if placed {
		in = style.Placed(at, since)
	}
	d := Decide(s, in)
	if d.Effect == AskOrder {
		d = Decide(s, OrderShown)
	}
	if d.Next == ToSend && s != ToSend {
		return d.Next, 1
	}
	return d.Next, 0
}

// TestExactlyOneMail: both events of an order arrive, each at least once, in any order and under any
// style at each arrival. Exactly one mail is written.
func TestExactlyOneMail(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		extra := rapid.SliceOfN(rapid.Bool(), 0, 4).Draw(t, "more arrivals")
		arrivals := rapid.Permutation(append([]bool{true, false}, extra...)).Draw(t, "OrderPlaced or OrderCreated")
		s, mails := None, 0
		for i, placed := range arrivals {
			style := rapid.SampledFrom([]Style{ByNotification, ByState}).Draw(t, "style")
			next, n := arrive(s, placed, style, since)
			if s = next; n+mails > 1 {
				t.Fatalf("arrival %d writes a second mail", i)
			}
			mails += n
		}
		if mails != 1 || s != ToSend {
			t.Fatalf("%d mails, state %q", mails, s)
		}
	})
}

// TestOneStyleReactsToOneEvent: without a change of style, the mail follows from the style's event.
func TestOneStyleReactsToOneEvent(t *testing.T) {
	t.Parallel()
	for style, placed := range map[Style]bool{ByNotification: true, ByState: false} {
		for _, first := range []bool{true, false} {
			s, n := arrive(None, first, style, since)
			if want := first == placed; (n == 1) != want {
				t.Errorf("%s: first event (placed %v) writes %d mails", style, first, n)
			}
			if _, m := arrive(s, !first, style, since); n+m != 1 {
				t.Errorf("%s: %d mails", style, n+m)
			}
		}
	}
}

// TestOldOrdersGetNoMail: an order from before the service existed leaves no row.
func TestOldOrdersGetNoMail(t *testing.T) {
	t.Parallel()
	for _, style := range []Style{ByNotification, ByState} {
		for _, placed := range []bool{true, false} {
			if s, n := arrive(None, placed, style, since.Add(-time.Microsecond)); s != None || n != 0 {
				t.Errorf("%s: state %q, %d mails", style, s, n)
			}
		}
	}
}

func TestParseStyle(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Style{"": ByNotification, "notification": ByNotification, "state": ByState} {
		if got, err := ParseStyle(text); err != nil || got != want {
			t.Errorf("%q is %q, %v", text, got, err)
		}
	}
	if got, err := ParseStyle("State"); err == nil {
		t.Errorf("State is %q", got)
	}
}
