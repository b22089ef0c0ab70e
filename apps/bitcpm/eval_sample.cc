#include "eval_windows.h"

namespace bitcpm {
namespace {

// Written for this purpose; any prose would do.
constexpr std::string_view kText =
    R"(A ternary model keeps each weight of its linear layers as minus one, zero or plus one, times a
scale that a whole group of weights shares. Multiplying by such a weight needs no multiplier: a
number is added, left out, or subtracted. What remains of the work is to bring the weights from
memory, and since each of them takes two bits instead of sixteen, eight times as many arrive in the
same time. That is why a small computer without a graphics card can hold a conversation with a model
of half a billion parameters, and why the same computer answers a single reader about as fast as its
memory allows, however clever the arithmetic may be.

When several readers ask at once, the picture changes. The weights are fetched once for all of them,
and the time goes into arithmetic instead. A program that serves many people therefore wants large
batches, and a program that serves one person wants small numbers. Good software measures both, and
says next to every figure how far it is from what the machine could do at best. A rate of a hundred
tokens per second means little by itself; ninety per cent of the bandwidth means that nobody will
make it much faster without changing the model.

Measuring is harder than it looks. A processor that has just woken up runs slowly, a processor that
has worked for a minute is hot and runs slowly again, and on a rented machine a neighbour may be busy
at the wrong moment. The first run after a start touches memory that the operating system has not
handed out yet. For all these reasons one measurement is no measurement: one repeats it, takes the
middle of the results, and shows the smallest and the largest beside it, so that a reader can judge
how steady the middle is.

In the village where my grandmother lived there was a clockmaker who never trusted a single clock.
On the wall of his shop hung eleven of them, and every evening he wrote down what each one said when
the church bell rang. "No clock is right," he used to tell the children who came to look, "but if
you ask enough of them, and write the answers down, you will know by how much each one is wrong."
When he died, the notebooks went to the school, and for many years the teacher used them to explain
what an average is, and why it is better to know the size of an error than to believe that there is
none.

A recipe for bread: mix five hundred grams of flour with ten grams of salt, dissolve a little yeast
in three hundred and fifty grams of water, and stir everything together until no dry flour is left.
Cover the bowl and wait for twelve hours. Fold the dough over itself four times, let it rest for half
an hour, and bake it in a very hot pot for forty minutes, the last ten without the lid. The crust
should be dark, and the loaf should sound hollow when you knock on it from below.

The river rises in the hills to the north, runs past two mills and a paper factory, and reaches the
sea after ninety kilometres. In spring it carries more water than in the three other seasons
together, which is why the old bridge has seven arches although in summer a single one would be
enough. Engineers who want to replace it have counted boats, measured floods and asked the people of
the town. So far the bridge has outlived all of their plans.

三值模型把线性层里的每个权重写成负一、零或正一，再乘以一组权重共用的缩放系数。与这样的权重相乘不需要乘法器：
一个数或者加上，或者跳过，或者减去。剩下的工作是把权重从内存中取出来。每个权重只占两个比特，而不是十六个比特，
同样的时间里可以取到八倍的数量。因此，一台没有显卡的小电脑也能运行五亿参数的模型，而它为一位读者生成文字的速度，
大致取决于内存的快慢。

如果同时有许多人提问，情况就不一样了。权重取一次，可以供所有人使用，时间主要花在计算上。为许多人服务的程序希望
批量大一些，为一个人服务的程序则希望数据小一些。好的软件会把两种情况都测量清楚，并且在每个数字旁边写明，离机器的
极限还有多远。

测量比看上去困难。刚刚醒来的处理器跑得慢，连续工作了一分钟的处理器发热，又会慢下来；在租来的机器上，邻居也可能在
不巧的时候忙碌起来。所以只测一次等于没有测。应当重复几次，取中间的结果，同时给出最小值和最大值，让读者自己判断
这个数字稳定不稳定。

从前，镇上有一位修钟表的老人，他从来不相信任何一座钟。店里的墙上挂着十一座钟，每天傍晚教堂敲钟的时候，他把每座钟
的时间都记在本子上。他常对来看热闹的孩子们说：“没有一座钟是准的，但是你问得够多，又都写下来，就知道每一座差多少。”
老人去世以后，这些本子送给了学校。许多年里，老师用它们来讲什么是平均数，以及为什么知道误差有多大，比相信没有误差
更好。

做面包的方法：五百克面粉加十克盐，把少许酵母化在三百五十克水里，一起搅拌到没有干粉为止。盖上盖子，放置十二个小时。
把面团折叠四次，再休息半个小时，然后放进很热的锅里烤四十分钟，最后十分钟不盖盖子。面包皮应当颜色很深，从下面敲一敲，
声音是空的。

这条河发源于北方的山里，流过两座磨坊和一家造纸厂，走九十公里以后入海。春天的水比其他三个季节加起来还多，所以老桥有
七个桥拱，虽然夏天一个就够了。想要重建这座桥的工程师数过船只，测过洪水，也问过镇上的居民。到现在为止，老桥比他们所有
的计划都活得长。
)";

}  // namespace

std::string_view eval_sample() { return kText; }

}  // namespace bitcpm
