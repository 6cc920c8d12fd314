package shipping_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"eventshop.example/pkg/kafkatest"
)

// exported lists the metrics of the service by the names that dashboards and alerts use, without
// those of the Go runtime, the process and the metrics handler. It is written down here and not
// computed, so that a change of a package's names or of their prefix cannot change what is scraped.
func exported() []string {
	return []string{
		"eventshop_breaker_calls_total",
		"eventshop_breaker_state",
		"eventshop_breaker_transitions_total",
		"eventshop_consumer_batch_records",
		"eventshop_consumer_batch_seconds",
		"eventshop_consumer_lag_records",
		"eventshop_consumer_offset_commits_refused_total",
		"eventshop_consumer_paused_partitions",
		"eventshop_consumer_records_total",
		"eventshop_consumer_waiting_retries",
		"eventshop_database_refusals_total",
		"eventshop_outbox_debezium",
		"eventshop_outbox_errors_total",
		"eventshop_outbox_held_keys",
		"eventshop_outbox_in_flight_rows",
		"eventshop_outbox_leased_shards",
		"eventshop_outbox_oldest_unpublished_seconds",
		"eventshop_outbox_on_hold",
		"eventshop_outbox_publish_seconds",
		"eventshop_outbox_published_total",
		"eventshop_outbox_unacknowledged_seconds",
		"eventshop_outbox_unpublished_rows",
		"eventshop_parked_keys",
		"eventshop_parked_records",
		"eventshop_partitions_dropped_total",
		"eventshop_retries_overdue",
		"eventshop_retry_measure_errors_total",
		"eventshop_schema_lookup_failures_total",
		"eventshop_schema_lookups_waiting",
		"eventshop_schema_registration_failures_total",
		"eventshop_schema_unknown_ids_total",
		"eventshop_schema_unregistered_types",
		"eventshop_shipment_decisions_total",
		"eventshop_tracking_failures_total",
		"eventshop_tracking_updates_total",
		"eventshop_upkeep_failures_total",
		"eventshop_upkeep_last_success_timestamp_seconds",
		"http_request_duration_seconds",
	}
}

// exportedOnTrouble lists the metrics that have no series before their trouble has happened.
func exportedOnTrouble() []string {
	return []string{
		"eventshop_consumer_failures_total",
		"eventshop_consumer_metadata_replaced_total",
		"eventshop_dead_letter_oldest_seconds",
		"eventshop_dead_letters",
		"eventshop_outbox_refusals_total",
		"eventshop_outbox_refused_seconds",
		"eventshop_outbox_slot",
		"eventshop_tracking_skipped_total",
	}
}

// TestExportedMetricsKeepTheirNames: a service that has scheduled a parcel exports exactly the
// metrics that operators know.
func TestExportedMetricsKeepTheirNames(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.start()
	order := uuid.Must(uuid.NewV7()).String()
	kafkatest.Produce(t, s.cfg.Brokers, kafkatest.Record(t, s.codec, created(order)), kafkatest.Record(t, s.codec, reserved(order)))
	s.waitFor(order, "SCHEDULED")
	s.reported(order)
	kafkatest.Eventually(t, "the first measurements of the request and of the publication", func() bool {
		now := s.metrics()
		return strings.Contains(now, "http_request_duration_seconds_count") && strings.Contains(now, "eventshop_outbox_published_total{")
	})
	var got []string
	for line := range strings.Lines(s.metrics()) {
		rest, ok := strings.CutPrefix(line, "# TYPE ")
		name, _, _ := strings.Cut(rest, " ")
		runtime := strings.HasPrefix(name, "go_") || strings.HasPrefix(name, "process_") || strings.HasPrefix(name, "promhttp_")
		if ok && !runtime && !slices.Contains(exportedOnTrouble(), name) {
			got = append(got, name)
		}
	}
	slices.Sort(got)
	if diff := cmp.Diff(exported(), got); diff != "" {
		t.Errorf("metrics (- before, + now):\n%s", diff)
	}
	s.end()
}
