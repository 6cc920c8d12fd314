module eventshop.example/services/orchestrator

go 1.26.0
