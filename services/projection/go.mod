module eventshop.example/services/projection

go 1.26.0

require eventshop.example/pkg v0.0.0

replace eventshop.example/pkg => ../../pkg
