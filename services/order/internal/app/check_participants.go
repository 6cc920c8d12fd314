package app

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"eventshop.example/pkg/kafka"
	"eventshop.example/services/order/internal/db"
)

// Participant is a consumer group that takes part in the saga. A process that knows both styles subscribes
// to Topic, and one of a release before does not.
type Participant struct{ Group, Topic string }

// Describe returns the consumer groups of the given names, in their order; see [kafka.DescribeGroups].
type Describe func(ctx context.Context, names ...string) ([]kafka.Group, error)

// RunParticipantCheck keeps [SagaStyle.Ready] up to date until ctx ends. Several replicas may run it. It
// logs the first failure of a series.
func (a *App) RunParticipantCheck(ctx context.Context, describe Describe) error {
	failing := false
	for {
		err := a.CheckParticipants(ctx, describe)
		if err != nil && ctx.Err() == nil && !failing {
			a.log.WarnContext(ctx, "the participants were not asked which styles they know; will be tried again", "error", err)
		}
		failing = err != nil
		wait := a.checkEvery + rand.N(a.checkEvery/4+1) // replicas that started together drift apart
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

// CheckParticipants asks Kafka which participants know both styles, and stores the verdict if it is
// the latest. It does nothing when another process has just asked. When Kafka is away, the stored verdict
// stays, so that a restart meanwhile changes nothing.
func (a *App) CheckParticipants(ctx context.Context, describe Describe) error {
	stored, err := a.queries.ReadSagaStyle(ctx)
	if err != nil {
		return fmt.Errorf("read the saga style: %w", err)
	}
	now := a.now()
	if age := now.Sub(stored.CheckedAt); age >= 0 && age < a.checkEvery/2 {
		return nil
	}
	names := make([]string, len(a.participants))
	for i, p := range a.participants {
		names[i] = p.Group
	}
	groups, err := describe(ctx, names...)
	if err != nil {
		return err
	}
	v := verdictOn(stored.Ready, stored.Reason, a.participants, groups)
	kept, err := a.queries.KeepVerdict(ctx, db.KeepVerdictParams{Ready: v.ready, Reason: v.reason, CheckedAt: now, Since: stored.CheckedAt})
	if err != nil {
		return fmt.Errorf("keep the verdict on the participants: %w", err)
	}
	if kept == 0 || v.ready == stored.Ready && v.reason == stored.Reason {
		return nil
	}
	switch {
	case v.ready:
		a.log.InfoContext(ctx, "every participant knows both styles of the saga; orders can be orchestrated")
	case v.lacking:
		a.log.WarnContext(ctx, "a participant does not know styles; new orders are choreographed", "reason", v.reason)
	default:
		a.log.InfoContext(ctx, "new orders are choreographed", "reason", v.reason)
	}
	_, err = a.GetSagaStyle(ctx)
	return err
}

// verdict says whether orders can be orchestrated, and if not, why.
type verdict struct {
	ready   bool
	reason  string
	lacking bool // a member does not know styles
}

// verdictOn returns the verdict on what Kafka says about the participants' groups. One member that does
// not know styles closes the gate. To open it, each group needs members, all of which know styles. An
// open gate stays open while a group has no members: its processes are down, and the commands wait for
// them. During a rebalance a group's members are not known, and nothing follows from it.
func verdictOn(ready bool, reason string, participants []Participant, groups []kafka.Group) verdict {
	for i, g := range groups {
		for _, m := range g.Members {
			if !slices.Contains(m.Topics, participants[i].Topic) {
				return verdict{lacking: true, reason: fmt.Sprintf("a member of the consumer group %s does not know styles: %s at %s, which does not subscribe to %s",
					g.Name, m.ClientID, m.Host, participants[i].Topic)}
			}
		}
	}
	if ready {
		return verdict{ready: true}
	}
	for _, g := range groups {
		switch {
		case !g.Settled:
			return verdict{reason: reason} // it is asked again soon
		case len(g.Members) == 0:
			return verdict{reason: fmt.Sprintf("the consumer group %s has no members", g.Name)}
		}
	}
	return verdict{ready: true}
}
