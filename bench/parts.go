package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/bench/measure"
	"eventshop.example/bench/shop"
	"eventshop.example/local/broker"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/kafka"
)

// partTimes is how often a part is repeated.
const partTimes = 200

// hops returns the median time from a produce request to the record's arrival at a consumer that
// waits for it, in ms.
func hops(ctx context.Context, s *shop.Stack) (float64, error) {
	const topic = "bench.parts"
	if err := broker.CreateTopics(ctx, kafka.Cluster{Brokers: s.Kafka}, event.NewTopic(topic, nil)); err != nil {
		return 0, err
	}
	producer, err := kgo.NewClient(kgo.SeedBrokers(s.Kafka...), kgo.ProducerLinger(0))
	if err != nil {
		return 0, err
	}
	defer producer.Close()
	if err := producer.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: []byte("first")}).FirstErr(); err != nil {
		return 0, err
	}
	reader, err := kgo.NewClient(kgo.SeedBrokers(s.Kafka...), kgo.ConsumeTopics(topic), kgo.FetchMinBytes(1))
	if err != nil {
		return 0, err
	}
	defer reader.Close()
	receive := func() error { return reader.PollFetches(ctx).Err() }
	if err := receive(); err != nil {
		return 0, err
	}
	return repeatedly(func() error {
		producer.Produce(ctx, &kgo.Record{Topic: topic, Value: make([]byte, 500)}, nil)
		return receive()
	})
}

// commits returns the median time of a transaction of one row on the shop's server, in ms.
func commits(ctx context.Context, s *shop.Stack) (float64, error) {
	url, err := s.Server.Create(ctx, "parts")
	if err != nil {
		return 0, err
	}
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return 0, err
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, `CREATE TABLE parts (id uuid PRIMARY KEY, data text)`); err != nil {
		return 0, err
	}
	return repeatedly(func() error {
		_, err := conn.Exec(ctx, `INSERT INTO parts VALUES ($1, $2)`, uuid.Must(uuid.NewV7()), "0123456789")
		return err
	})
}

// outside returns the median times of a charge at the gateway and of a booking at the carrier, in ms.
// They are of orders that do not exist, so the shop cannot be verified afterwards.
func outside(ctx context.Context, s *shop.Stack) (charge, booking float64, err error) {
	charge, err = calls(ctx, s.URLs["gateway"]+"/v1/charges", `{"orderId":%q,"customerId":"c1","amountMinor":2999,"currency":"EUR"}`)
	if err != nil {
		return 0, 0, err
	}
	booking, err = calls(ctx, s.URLs["carrier"]+"/v1/shipments", `{"orderId":%q,"customerId":"c1",
		"address":{"street":"1 Lane","city":"London","postalCode":"SW1A 1AA","country":"GB"},"items":[{"sku":"BENCH-00","quantity":1}]}`)
	return charge, booking, err
}

func calls(ctx context.Context, url, body string) (float64, error) {
	client := &http.Client{}
	defer client.CloseIdleConnections()
	return repeatedly(func() error {
		id := uuid.NewString()
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(fmt.Appendf(nil, body, id)))
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Idempotency-Key", "bench-"+id)
		res, err := client.Do(req)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		answer, err := io.ReadAll(res.Body)
		if err == nil && res.StatusCode != http.StatusCreated {
			err = fmt.Errorf("POST %s: %d %s", url, res.StatusCode, answer)
		}
		return err
	})
}

// repeatedly calls do many times, a little apart as orders are, and returns the median in ms.
func repeatedly(do func() error) (float64, error) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	var took []time.Duration
	for range partTimes {
		<-tick.C
		began := time.Now()
		if err := do(); err != nil {
			return 0, err
		}
		took = append(took, time.Since(began))
	}
	return measure.Quantile(took, .5), nil
}
