package faults

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"eventshop.example/lab/load"
	"eventshop.example/local/broker"
	"eventshop.example/local/stack"
	"eventshop.example/ops/eventshop"
)

// brokerRefuses are faults of a broker that answers with errors.
func brokerRefuses() []Fault {
	const family = "broker refuses"
	return []Fault{
		{Name: "broker-refuses-records", Family: family, run: recordsRefused,
			Done: "the broker refuses every record (INVALID_TIMESTAMP)", Expect: "orders accepted all the same; not ready, says why; the outbox drains"},
		{Name: "broker-refuses-commits", Family: family, run: commitsRefused,
			Done: "the broker refuses every commit of offsets", Expect: "orders go on; not ready, says why; counted"},
	}
}

// rejects makes the embedded broker refuse a kind of request, until obey or the end of the fault.
func (t *trial) rejects(kind kmsg.Key, with *kerr.Error) (obey func(ctx context.Context) error, err error) {
	dir := ""
	err = t.shop(func(s *stack.Stack) error {
		if s.File().KafkaSource != stack.Embedded && s.File().KafkaSource != "" {
			return fmt.Errorf("only the embedded broker can be told to refuse: this shop has %s", s.File().KafkaSource)
		}
		dir = s.DataDir(stack.Broker)
		return nil
	})
	if err == nil {
		err = broker.Refuse(dir, kind, with)
	}
	if err != nil {
		return nil, err
	}
	return t.once(func(context.Context) error { return broker.Obey(dir, kind) }), nil
}

func recordsRefused(ctx context.Context, t *trial) error {
	if err := t.startLoad(ctx); err != nil {
		return err
	}
	check, err := t.unscathed(ctx)
	if err != nil {
		return err
	}
	t.load.InsistOnFirst(true)
	obey, err := t.rejects(kmsg.Produce, kerr.InvalidTimestamp)
	if err != nil {
		return err
	}
	before := t.load.Placed()
	if err := t.unready(ctx, kerr.InvalidTimestamp.Message, "order"); err != nil {
		return err
	}
	if err := pass(ctx, t.sizes.Hold); err != nil {
		return err
	}
	accepted, waiting := t.load.Placed()-before, 0
	if err := t.query(ctx, "order", `SELECT count(*) FROM outbox_queue`, nil, &waiting); err != nil {
		return err
	}
	t.expect(accepted > 0 && waiting >= accepted, "%d orders accepted meanwhile, %d records in the outbox", accepted, waiting)
	t.see("%d orders accepted meanwhile, %d records waited in the outbox", accepted, waiting)
	if err := obey(ctx); err != nil {
		return err
	}
	t.over(ctx)
	t.load.InsistOnFirst(false)
	if err := t.allReady(ctx, eventshop.Services()...); err != nil {
		return err
	}
	return check(ctx)
}

func commitsRefused(ctx context.Context, t *trial) error {
	if err := t.startLoad(ctx); err != nil {
		return err
	}
	check, err := t.unscathed(ctx)
	if err != nil {
		return err
	}
	const metric = "eventshop_consumer_offset_commits_refused_total"
	counted, err := t.sample(ctx, "payment", metric, "")
	if err != nil {
		return err
	}
	obey, err := t.rejects(kmsg.OffsetCommit, kerr.InvalidCommitOffsetSize)
	if err != nil {
		return err
	}
	ids, err := t.placeOwn(ctx, load.Order{}, delivered)
	if err != nil {
		return err
	}
	if err := t.unready(ctx, "not committed", eventshop.Services()...); err != nil {
		return err
	}
	if err := t.reach(ctx, ids, delivered); err != nil {
		return err
	}
	if err := obey(ctx); err != nil {
		return err
	}
	t.over(ctx)
	now, err := t.sample(ctx, "payment", metric, "")
	if err != nil {
		return err
	}
	t.expect(now > counted, "%s does not count the refusals", metric)
	if err := t.allReady(ctx, eventshop.Services()...); err != nil {
		return err
	}
	t.see("orders delivered meanwhile; all ready %.1f s after the end", time.Since(t.healed).Seconds())
	return check(ctx)
}
