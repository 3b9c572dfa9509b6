"""The cast of the stories and the words for their world."""

# Names have one gender each, no name is in two lists, and most are one or two tokens long.
GIRLS = [
    "Mia", "Anna", "Lily", "Emma", "Nora", "Ella", "Clara", "Maya", "Nina", "Tara", "Sara", "Lena", "Hana", "Amy", "Kate", "Molly",
    "Eva", "Ada", "Alma", "Elsa", "Stella", "Tina", "Zara", "Dora", "Holly", "Luna", "Marta", "Alice", "Ava", "Beth", "Cora",
    "Emily", "Flora", "Gina", "Helen", "Ida", "Iris", "Jenny", "Julia", "Laila", "Leila", "Lola", "Maria", "Mila", "Mina", "Naomi",
    "Nelly", "Rita", "Sally", "Yara", "Zoe", "Rosa",
]
BOYS = [
    "Tom", "Ben", "Sam", "Max", "Leo", "Finn", "Jack", "Noah", "Theo", "Milo", "Eli", "Luke", "Owen", "Jake", "Tim", "Dan", "Paul",
    "Peter", "Carl", "Emil", "Henry", "Ivan", "Liam", "Martin", "Toby", "Arlo", "Albert", "Billy", "Daniel", "Fred", "Harry", "Jim",
    "Jonas", "Josh", "Karl", "Lars", "Leon", "Lucas", "Marco", "Mark", "Mike", "Nick", "Oliver", "Robert", "Ted", "Zack", "Edgar",
    "Hector", "Colin", "Hugo", "Oscar", "Adam",
]
# Animals and creatures out of tales.
PETS_F = [
    "Rosie", "Daisy", "Poppy", "Willow", "Honey", "Misty", "Blossom", "Petal", "Lulu", "Peach", "Tulip", "Dot", "Bella", "Maple",
    "Ginger", "Hazel", "Olive", "Tansy", "Dandelion", "Sugar", "Sunny", "Juniper", "Caramel", "Feather",
]
PETS_M = [
    "Pip", "Rusty", "Gus", "Kip", "Hopper", "Ziggy", "Biscuit", "Bramble", "Copper", "Rocket", "Chip", "Pickle", "Fudge", "Smoky",
    "Basil", "Jasper", "Dusty", "Acorn", "Scout", "Bobbin", "Rolo", "Pippin", "Flick", "Quill",
]
# Invented names: a beginning and an end, and the end tells the gender.
SYLL_A = ["Ba", "Be", "Da", "Fa", "Fi", "Ga", "Ka", "Ki", "La", "Ma", "Na", "Ne", "Pa", "Ra", "Ri", "Sa", "Ta", "Ti", "Va", "Ya", "Bri", "Tre"]
SYLL_F = ["lina", "mira", "nia", "shena", "vella"]
SYLL_M = ["bo", "do", "ko", "ro", "mo"]

# Every kind has one gender too, whether its hero has a name or not: "the old fox" is a he, "the old owl" a she.
FOREST_M = ["fox", "bear", "badger", "frog", "beaver", "wolf", "hare", "mole", "crow", "toad", "raccoon", "moose", "beetle", "woodpecker"]
FOREST_F = ["rabbit", "squirrel", "owl", "deer", "duck", "otter", "hedgehog", "turtle", "bee", "swan", "mouse", "snail", "bunny", "sparrow"]
FARM_M = ["dog", "puppy", "pig", "goat", "rooster", "donkey", "horse", "hamster"]
FARM_F = ["cat", "kitten", "hen", "cow", "sheep", "goose", "lamb", "pony"]
WILD_M = ["lion", "tiger", "penguin", "crocodile", "camel", "monkey", "elephant", "rhino"]
WILD_F = ["giraffe", "zebra", "koala", "panda", "parrot", "dolphin", "kangaroo", "seal"]
FANCY_M = ["robot", "dragon", "giant", "wizard", "knight", "pirate", "snowman", "troll", "prince"]
FANCY_F = ["fairy", "witch", "mermaid", "unicorn", "doll", "princess", "ghost", "elf"]
WORKERS_M = ["baker", "fisherman", "king", "sailor", "shepherd", "gardener", "carpenter", "tailor", "cook", "nurse", "woodcutter"]
WORKERS_F = ["queen", "painter", "farmer", "weaver", "musician", "captain", "singer", "inventor", "librarian", "potter", "beekeeper"]
KINDS = {
    "child": {"m": ["boy"], "f": ["girl"]}, "forest": {"m": FOREST_M, "f": FOREST_F}, "farm": {"m": FARM_M, "f": FARM_F},
    "wild": {"m": WILD_M, "f": WILD_F}, "fancy": {"m": FANCY_M, "f": FANCY_F}, "worker": {"m": WORKERS_M, "f": WORKERS_F},
}
BABIES = ["puppy", "kitten", "lamb", "bunny"]  # never old

# Grown-ups who help: who they are for a hero of the family, for an old one, and for a creature out of a tale.
FAMILY = {"Mother": "f", "Father": "m", "Grandmother": "f", "Grandfather": "m"}
GUIDES = {
    "child": FAMILY | {"the teacher": "f"}, "animal": FAMILY | {"the wise old owl": "f", "the wise old bear": "m"},
    "elder": {"the mayor": "m", "the doctor": "f", "the miller": "m", "the teacher": "f"}, "fancy": {"the old clockmaker": "f", "the old miller": "m"},
}
# Strangers who need help on the road: how they are called first and then.
ROAD = [("an old woman", "the old woman", "f"), ("an old man", "the old man", "m"), ("an old goat", "the old goat", "m"), ("an old hen", "the old hen", "f")]

YOUNG_ADJ = [
    "little", "small", "young", "curious", "kind", "brave", "shy", "cheerful", "clever", "gentle", "quiet", "playful", "friendly",
    "thoughtful", "lively", "tiny", "happy", "lonely", "silly", "polite", "patient", "dreamy", "stubborn", "honest", "sleepy", "bold",
]
OLD_ADJ = ["old", "old", "old", "kind old", "wise old", "gentle old", "cheerful old", "tired old", "lonely old", "friendly old", "clever old", "very old"]

HOMES = {
    "child": [
        "in a small house near the woods", "in a quiet village by the sea", "in a busy town by the river",
        "on a farm at the foot of a green hill", "in a little cottage by the lake", "in a tall house on a narrow street",
        "in a yellow house with a big garden", "in a small town between two hills", "in a village high in the mountains",
        "in a red house on the edge of town", "in a big city full of lights", "in a tiny village in the desert", "on a small island",
        "in a noisy house with many brothers and sisters", "next to a little park", "near the old railway station", "by the river",
        "in a valley where the apples grew", "on the top floor of a very tall house", "in an old mill by the stream", "near the edge of the world",
        "at the end of a long and dusty road", "above a bakery in the middle of town", "in a white house near the harbor",
    ],
    "forest": [
        "in a hollow tree", "in a cozy burrow under the hill", "at the edge of a deep forest", "beside a clear pond",
        "under the roots of an old oak tree", "in a quiet valley full of flowers", "deep in the forest",
        "near a bend in the river", "in a little den between the rocks",
        "in the middle of the woods", "behind a big waterfall", "in an old garden behind a stone wall", "at the foot of a mountain",
        "in the shade of a tall pine tree", "under a bridge", "by a small stream", "on the sunny side of the hill", "in the deep, dark woods",
    ],
    "farm": [
        "on a farm at the foot of a green hill", "in a warm barn full of hay", "on a little farm near the river",
        "in a quiet village by the sea", 
        "next to a field of yellow flowers", "in a small stable", "on a busy farm with many animals", "in a garden full of cabbages",
        "behind an old red barn", "on a windy farm by the lake",
    ],
    "wild": [
        "in a land far away", "beside a wide blue river", "near a waterhole under the tall trees",
        "near the warm sea", "in the tall grass", "by a quiet bay", "where the mountains meet the sea", "far away in the south",
        "on a green island", "in a valley where the sun always shone", "at the edge of the jungle",
    ],
    "fancy": [
        "in an old lighthouse by the sea", "in a crooked tower on a hill", "in a dusty workshop at the edge of town",
        "in a castle above the clouds", "on a small round moon", "in a big old castle", "on an island in the middle of the sea",
        "in a forgotten garden", "in a toy shop in the city", "under a stone bridge", "at the end of the rainbow",
        "in a cave high in the mountains", "deep in the forest", "in a small house made of stones",
        "in a land far away", "in a quiet village by the sea",
    ],
    "worker": [
        "by the harbor", "in a house full of books", "next to the market", "in a big city full of lights", "at the end of a long road",
        "on a hill above the town", "near the old railway station", "in a small wooden house", "in a kingdom by the sea",
        "in a quiet village by the sea", "in a small town between two hills", "in a little cottage by the lake",
        "in a village high in the mountains", "in a land far away", "in a tall house on a narrow street",
    ],
}
HOBBIES = [
    "sing", "explore", "draw pictures", "count the stars", "listen to stories", "climb trees", "collect smooth stones",
    "ask questions", "watch the clouds", "make new friends", "play by the river", "dance in the wind", "look for shells",
    "build things", "whistle happy songs", "pick flowers", "tell jokes", "help others", "bake little cakes", "watch the stars",
    "tell stories", "look at old maps", "walk in the rain", "count things", "play the drum", "sleep in the sun",
    "run through the grass", "read about faraway lands", "fix broken things", "watch the ships", "talk to the birds",
    "ride down the hill", "swim in the lake", "grow vegetables", "look for mushrooms", "make up new words", "paint pictures",
    "play tricks", "wear funny hats", "laugh at silly things", "think about big questions", "dream of the sea", "jump over puddles",
    "catch the wind", "write little poems", "feed the ducks", "watch the snow fall", "play hide and seek",
]

COLORS = ["black", "gray", "red", "blue", "green", "yellow", "orange", "purple", "white", "silver", "golden", "pink", "brown"]
TOYS = [
    "ball", "kite", "hat", "scarf", "drum", "boat", "bell", "cup", "whistle", "lantern", "basket", "umbrella", "ribbon", "box", "book",
    "spoon", "feather", "blanket", "bag", "clock", "map", "shell", "stone", "jar", "watch", "bucket", "train", "flute", "puppet",
]
OBJ_ADJ = ["little", "old", "special", "small", "pretty"]

WX = {
    "out": ["sunny", "warm", "windy", "bright", "breezy", "cool", "cloudy", "clear", "fine"],
    "in": ["sunny", "warm", "windy", "bright", "rainy", "cold", "cloudy", "gray", "chilly", "rainy", "foggy", "quiet"],
    "rain": ["rainy", "rainy", "gray", "wet", "stormy"],
    "storm": ["cloudy", "gray", "windy", "dark", "stormy"],
    "snow": ["snowy", "cold", "icy", "white", "frosty"],
    "night": ["quiet", "clear", "cool", "warm", "still"],
}
WX_LINE = {
    "sunny": ["The sun was shining and the sky was blue.", "The sun was warm on the [grass|roof|road]."],
    "warm": ["The air was [soft|sweet] and warm.", "Bees hummed in the flowers."],
    "windy": ["The wind pushed the clouds across the sky.", "The wind [danced|played] in the leaves."],
    "bright": ["The whole world seemed to shine.", "Birds were singing in every tree."],
    "breezy": ["A soft breeze moved the grass.", "The leaves whispered in the breeze."],
    "cool": ["The air was fresh and clean.", "There was dew on the grass."],
    "cloudy": ["Soft gray clouds covered the sky.", "The sun was hiding behind the clouds."],
    "clear": ["There was not one cloud in the sky.", "The sky was clear and blue."],
    "fine": ["It was a perfect day to be outside.", "The birds were singing."],
    "rainy": ["Rain tapped on the [roof|leaves].", "The rain made little puddles everywhere.", "Drops of rain fell from the gray sky."],
    "wet": ["Everything was wet, and the puddles were deep.", "The rain would not stop."],
    "gray": ["The sky was gray and heavy.", "Gray clouds hung low over the hills."],
    "stormy": ["Thunder rumbled far away.", "Dark clouds rolled over the hills."],
    "dark": ["Black clouds filled the sky.", "The sky grew darker and darker."],
    "cold": ["The air was cold and still.", "A cold wind blew from the north."],
    "chilly": ["The air was chilly.", "It was a good day for a warm coat."],
    "foggy": ["Fog covered everything like a soft blanket.", "The fog was so thick that the trees looked like ghosts."],
    "quiet": ["Everything was quiet and still.", "Not a sound could be heard."],
    "snowy": ["Snow covered the ground.", "Big white flakes fell from the sky."],
    "icy": ["The pond was covered with ice.", "Icicles hung from every branch."],
    "white": ["The whole world was white with snow.", "Snow lay on every branch."],
    "frosty": ["Frost sparkled on the grass.", "Every branch was covered with frost."],
    "still": ["The stars were bright.", "The moon was round and bright."],
}
