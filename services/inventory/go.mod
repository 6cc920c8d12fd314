module eventshop.example/services/inventory

go 1.26.0

require eventshop.example/pkg v0.0.0

require pgregory.net/rapid v1.3.0 // indirect

replace eventshop.example/pkg => ../../pkg
