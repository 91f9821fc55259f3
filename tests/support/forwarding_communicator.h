// A communicator that lets another do everything: for tests that change one thing about it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "comm/communicator.h"

namespace moat::testing {

class ForwardingCommunicator : public comm::Communicator {
 public:
  explicit ForwardingCommunicator(comm::Communicator& inner)  // outlives this
      : Communicator(inner.name(), inner.rank(), inner.members()), inner_(inner) {}

  bool concurrent() const override { return inner_.concurrent(); }
  bool alone_on_device() const override { return inner_.alone_on_device(); }
  void Abandon() override {
    Communicator::Abandon();
    inner_.Abandon();
  }

 protected:
  void DoAllReduce(tensor::View buffer, comm::ReduceOp op, comm::Order order,
                   tensor::Stream& stream) override {
    inner_.AllReduce(buffer, op, order, stream);
  }
  void DoReduceScatter(tensor::ConstView input, tensor::View output, comm::ReduceOp op,
                       comm::Order order, tensor::Stream& stream) override {
    inner_.ReduceScatter(input, output, op, order, stream);
  }
  void DoAllGather(tensor::ConstView input, tensor::View output, tensor::Stream& stream) override {
    inner_.AllGather(input, output, stream);
  }
  void DoBroadcast(tensor::View buffer, int root, tensor::Stream& stream) override {
    inner_.Broadcast(buffer, root, stream);
  }
  void DoBarrier() override { inner_.Barrier(); }
  void DoFinish(tensor::Stream& stream) override { inner_.Finish(stream); }
  std::unique_ptr<comm::Communicator> DoGroup(const std::string& name,
                                              const std::vector<int>& ranks) override {
    return inner_.Group(name, ranks);
  }

  comm::Communicator& inner() { return inner_; }

 private:
  comm::Communicator& inner_;
};

}  // namespace moat::testing
