package notification

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestDecideAnswersEveryPair compares the whole table.
func TestDecideAnswersEveryPair(t *testing.T) {
	t.Parallel()
	type row = map[Input]Decision
	stay := func(s State, a Action) Decision { return Decision{Action: a, Next: s} }
	ask := func(s State) Decision { return Decision{Action: Apply, Next: s, Effect: AskOrder} }
	write := Decision{Action: Apply, Next: ToSend}
	ended := func(s State) row {
		return row{
			OrderPlaced: stay(s, Duplicate), OrderCreated: stay(s, Duplicate),
			OrderPlacedOut: stay(s, Ignore), OrderCreatedOut: stay(s, Ignore), OldOrder: stay(s, Ignore),
			OrderShown: stay(s, Duplicate), MailAccepted: stay(s, Duplicate), MailRefused: stay(s, Duplicate), SendFailed: stay(s, Duplicate),
		}
	}
	unwritten := func(s State, placedOut, createdOut Decision) row {
		return row{
			OrderPlaced: ask(s), OrderCreated: write, OrderPlacedOut: placedOut, OrderCreatedOut: createdOut, OldOrder: stay(s, Ignore),
			OrderShown: write, MailAccepted: stay(s, Refuse), MailRefused: stay(s, Refuse), SendFailed: stay(s, Refuse),
		}
	}
	toSend := ended(ToSend)
	toSend[MailAccepted] = Decision{Action: Apply, Next: Sent}
	toSend[MailRefused] = Decision{Action: Apply, Next: Refused}
	toSend[SendFailed] = Decision{Action: Wait, Next: ToSend}
	want := map[State]row{
		None:            unwritten(None, stay(AwaitingCreated, Ignore), stay(AwaitingPlaced, Ignore)),
		AwaitingPlaced:  unwritten(AwaitingPlaced, ask(AwaitingPlaced), stay(AwaitingPlaced, Duplicate)),
		AwaitingCreated: unwritten(AwaitingCreated, stay(AwaitingCreated, Duplicate), write),
		ToSend:          toSend,
		Sent:            ended(Sent),
		Refused:         ended(Refused),
	}
	got := map[State]row{}
	for _, s := range States() {
		got[s] = row{}
		for _, in := range Inputs() {
			got[s][in] = Decide(s, in)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
	if got := Decide(ToSend, "Unknown"); got != stay(ToSend, Refuse) {
		t.Errorf("an unknown input is decided as %+v", got)
	}
}
